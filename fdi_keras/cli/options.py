"""Options that several verbs share, and how they are written on the command line."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fdi_keras.errors import UsageError


class FiniteRange(click.FloatRange):
    """A range that also refuses NaN, which compares with nothing, and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output, for machines."
)
device_option = click.option(
    "--device", default="local", show_default=True, metavar="ID", help="As 'fdi devices' lists it."
)
adb_option = click.option(
    "--adb",
    multiple=True,
    metavar="HOST:PORT",
    help="An adb server elsewhere, beside the one here; repeatable. 'none': not the one here.  "
    "[default: FDI_ADB, commas between]",
)


def runtime_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the choice of a phone's runtime, which arrives as ``runtime: RuntimeChoice``.

    The number of threads is an option of the verb itself.
    """

    @adb_option
    @click.option(
        "--delegate",
        type=click.Choice(["xnnpack", "none", "gpu", "nnapi"]),
        default="xnnpack",
        show_default=True,
        help="What executes the operators: xnnpack, the runtime's own kernels, or on phones gpu or nnapi.",
    )
    @click.option(
        "--cores", default="", metavar="CORES", help="Of a phone: big, little, or a hexadecimal mask."
    )
    @click.option(
        "--precision",
        type=click.Choice(["float32", "float16"]),
        default="float32",
        show_default=True,
        help="float16: a phone's GPU or NNAPI may calculate in 16 bits.",
    )
    @click.option(
        "--benchmark-model",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The tool that times models on a phone.  [default: FDI_BENCHMARK_MODEL, else fetched]",
    )
    @functools.wraps(verb)
    def wrapped(
        *args: Any,
        adb: tuple[str, ...],
        delegate: str,
        cores: str,
        precision: str,
        benchmark_model: Path | None,
        **others: Any,
    ) -> Any:
        from fdi_keras.devices import RuntimeChoice

        runtime = RuntimeChoice(
            delegate=delegate,
            cores=cores,
            precision=precision,
            benchmark_model=None if benchmark_model is None else str(benchmark_model),
            adb=adb or None,
        )
        return verb(*args, runtime=runtime, **others)

    return wrapped


one_adb_option = click.option(
    "--adb", metavar="HOST:PORT", help="The adb server that does it.  [default: the one of this computer]"
)
model_argument = click.argument("model", type=click.Path(path_type=Path))

#: More points than this are no curve to look at (our choice), and would only eat memory.
MOST_POINTS = 10_000

#: Words for numbers of the dimension ``padding``.
PADDINGS = {"same": 1, "valid": 0}


def split_names(text: str | None) -> list[str] | None:
    """``"conv2d, dense"`` as a list of names; None stays None.

    Raises:
        UsageError: there is no name in it.

    >>> split_names("conv2d, dense")
    ['conv2d', 'dense']
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("--kinds needs names with commas between, as in --kinds conv2d,dense.")
    return names


def parse_dimensions(texts: tuple[str, ...]) -> dict[str, int]:
    """``("in_channels=64,kernel=3", "height=28")`` as dimensions.

    Raises:
        UsageError: something is not ``name=number``, or is said twice.

    >>> parse_dimensions(("in_channels=64, kernel=3", "padding=same"))
    {'in_channels': 64, 'kernel': 3, 'padding': 1}
    """
    dims: dict[str, int] = {}
    for part in ",".join(texts).split(","):
        if not part.strip():
            continue
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals):
            raise UsageError(f"--set expects name=number, as in --set in_channels=64; received {part!r}.")
        if name in dims:
            raise UsageError(f"--set gives {name} twice.")
        words = PADDINGS if name == "padding" else {}
        word = words.get(value.lower())
        dims[name] = _number(value, f"--set {name}") if word is None else word
    return dims


def parse_range(text: str) -> tuple[str, list[int]]:
    """``"out_channels=1:128:8"`` as a name and its values, the last one included if it is met.

    Raises:
        UsageError: it is not written so, or the range is empty or much too long.

    >>> parse_range("out_channels=8:32:8")
    ('out_channels', [8, 16, 24, 32])
    """
    name, equals, values = (piece.strip() for piece in text.partition("="))
    bounds = values.split(":")
    if not (name and equals) or len(bounds) not in (2, 3):
        raise UsageError(
            f"--vary expects name=first:last or name=first:last:step, as in --vary out_channels=1:128; "
            f"received {text!r}."
        )
    first, last, step = (_number(b.strip(), f"--vary {name}") for b in (*bounds, "1")[:3])
    if not (1 <= first < last and step >= 1):
        raise UsageError(
            f"--vary {name} needs 1 <= first < last and a step of at least 1; received {values}."
        )
    if (last - first) // step >= MOST_POINTS:
        raise UsageError(f"--vary {name} has more than {MOST_POINTS} values; give a larger step.")
    return name, list(range(first, last + 1, step))


def _number(text: str, what: str) -> int:
    # int() would also take 1_000, and digits of other scripts.
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise UsageError(f"{what} needs a whole number that is not negative; received {text!r}.")
    return int(text)
