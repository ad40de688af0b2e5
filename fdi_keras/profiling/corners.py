"""The corners of the ranges: configurations at the ends of every dimension of each kind."""

from __future__ import annotations

from collections.abc import Mapping

from fdi_keras.operators.kinds import BINARY, BINARY_FUSING, ELEMENTWISE, KINDS, REDUCTIONS
from fdi_keras.profiling import recurrent_shapes
from fdi_keras.profiling.shapes import MAX_FLATTENED, MAX_RESHAPED, MAX_STEPS


def _rows(kind: str, *rows: tuple[int, ...]) -> tuple[Mapping[str, int], ...]:
    """Rows of dimensions in the order of the table; what a row leaves out at its end has the default."""
    spec = KINDS[kind]
    return tuple(
        spec.complete({name: int(v) for name, v in zip(spec.dimensions, row, strict=False)}) for row in rows
    )


_IMAGES = ((224, 224, 32), (1, 1, 2048), (7, 7, 1024), (1, 224, 1), (224, 1, 1), (28, 28, 64))


#: Whether the second operand is a constant, and how it is spread, in turns over the images.
_WAYS = ((0, 1, 0, 1, 0, 1), (0, 1, 2, 3, 4, 1))


def _images(kind: str, *further: tuple[int, ...]) -> tuple[Mapping[str, int], ...]:
    """The images with further numbers, each taken in turns."""
    rows = ((*image, *(values[i % len(values)] for values in further)) for i, image in enumerate(_IMAGES))
    return _rows(kind, *rows)


def _corners() -> dict[str, tuple[Mapping[str, int], ...]]:
    """Configurations at the ends of every dimension, so that short campaigns span the range too."""
    pools: tuple[tuple[int, ...], ...] = tuple(
        (*image, kernel, stride, padding)
        for image, kernel, stride, padding in zip(
            _IMAGES, (2, 7, 7, 1, 1, 3), (2, 1, 1, 1, 1, 3), (0, 1, 0, 0, 1, 1), strict=True
        )
    )
    # Windows of one pixel, and such that leave pixels out between them, run in other ways than all others.
    pools += (
        (56, 56, 128, 1, 1, 0),
        (14, 14, 512, 1, 2, 0),
        (56, 56, 48, 1, 2, 1),
        (28, 28, 256, 2, 3, 0),
        (7, 7, 1024, 2, 3, 1),
        (32, 32, 64, 1, 1, 1, 2),
    )
    return {
        "conv2d": _rows(
            "conv2d",
            (224, 224, 3, 32, 3, 2, 1, 1),
            (1, 1, 2048, 512, 1, 1, 1, 1),
            (7, 7, 512, 2048, 1, 1, 0, 0),
            (4, 4, 512, 512, 3, 1, 1, 1),
            (112, 112, 3, 64, 7, 2, 0, 1),
            (1, 1, 1024, 1024, 3, 1, 1, 0),
            (2, 2, 1, 1, 7, 2, 1, 1),
        ),
        "depthwise_conv2d": _rows(
            "depthwise_conv2d",
            (224, 224, 16, 3, 1, 1, 1),
            (7, 7, 1024, 7, 1, 1, 0),
            (112, 112, 64, 3, 2, 0, 1),
            (1, 1, 2048, 3, 1, 1, 1),
            (1, 1, 1, 1, 1, 0, 0),
            (28, 28, 96, 4, 1, 1, 0),
            (7, 7, 512, 4, 2, 1, 1),
            (56, 56, 64, 2, 1, 1, 1),
            (14, 14, 256, 2, 2, 0, 0),
            (14, 14, 512, 1, 1, 1, 0),
        ),
        "dense": _rows(
            "dense",
            (1, 4096, 4096, 1),
            (1, MAX_FLATTENED, 512, 0),
            (256, 512, 512, 0),
            (1, 1, 1, 0),
            (1, 2048, 1000, 0),
            (1, 1, 4096, 1),
        ),
        "max_pool2d": _rows("max_pool2d", *pools),
        "average_pool2d": _rows("average_pool2d", *pools),
        "grouped_conv2d": _rows(
            "grouped_conv2d",
            (56, 56, 128, 128, 3, 1, 1, 1, 32),
            (14, 14, 512, 512, 7, 1, 1, 0, 512),
            (1, 1, 1024, 1024, 1, 1, 0, 1, 2),
            (112, 112, 4, 4, 3, 2, 0, 1, 2),
        ),
        "transposed_conv2d": _rows(
            "transposed_conv2d",
            (112, 112, 32, 16, 2, 2, 1, 0),
            (7, 7, 512, 512, 4, 2, 1, 1),
            (1, 112, 1, 1, 1, 1, 0, 1, 5, 4),
            (14, 1, 256, 1, 3, 4, 0, 0),
        ),
        "batch_matmul": _rows(
            "batch_matmul", (1, 1, 1, 512, 0), (16, 512, 64, 64, 1), (1, 512, 512, 1, 0), (4, 197, 64, 197, 1)
        ),
        "softmax": _rows("softmax", (1, 1), (1, 4096), (4096, 10), (4096, 1), (1, 1000)),
        "gather": _rows("gather", (1, 8, 2), (MAX_STEPS, 64, 1000), (128, 300, 20_000), (1, 768, 10_000)),
        **{
            name: _rows(
                name, (224, 224, 32, 0), (1, 1, 2048, 1), (7, 7, 1024, 2), (224, 2, 2, 1), (2, 224, 2, 2)
            )
            for name in REDUCTIONS
        },
        **{name: _images(name, *_WAYS) for name in BINARY[len(BINARY_FUSING) :]},
        **{name: _images(name, _WAYS[0], (1, 0, 0), _WAYS[1]) for name in BINARY_FUSING},
        "prelu": _images("prelu", (1, 0)),
        "compare": _images("compare", (0, 3)),
        "select": _images("select", (0, 1)),
        "concat": _rows(
            "concat", *((h, w, max(c, 6), 2 + 2 * (i % 3)) for i, (h, w, c) in enumerate(_IMAGES))
        ),
        "split": _rows("split", *((h, w, max(c, 6), 2 + 2 * (i % 3)) for i, (h, w, c) in enumerate(_IMAGES))),
        "slice": _images("slice", (1, 2)),
        "pad": _images("pad", (0, 6), (0, 6)),
        "transpose": _rows(
            "transpose", (224, 224, 32, 0), (1, 224, 2, 1), (7, 7, 1024, 2), (1, 2, 2048, 1), (2, 2, 2, 0)
        ),
        "reshape": _rows("reshape", (16,), (MAX_RESHAPED,)),
        "tile": _rows(
            "tile", (112, 112, 32, 2), (1, 1, 2048, 4), (7, 7, 512, 2), (1, 224, 1, 4), (112, 1, 1, 2)
        ),
        **{
            name: _rows(
                name, (112, 112, 16, 224, 224), (1, 1, 2048, 7, 7), (7, 7, 512, 14, 14), (224, 1, 1, 1, 2)
            )
            for name in ("resize_bilinear", "resize_nearest")
        },
        **{name: _images(name) for name in ("cast", *ELEMENTWISE)},
        **{name: _rows(name, *rows) for name, rows in recurrent_shapes.CORNERS.items()},
    }


CORNERS = _corners()
