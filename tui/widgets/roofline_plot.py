"""The roofline of a profile: what its probes reached over their arithmetic intensity, both logarithmic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fdi_tui.widgets.picture import Series
from fdi_tui.widgets.plot import Plot

if TYPE_CHECKING:
    from fdi_tui.data.roofs import Points, Roofs

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def rate_text(flops_per_s: float) -> str:
    """FLOPs a second.

    >>> rate_text(2.5e11), rate_text(1e9), rate_text(0.5)
    ('250 GFLOP/s', '1 GFLOP/s', '0.5 FLOP/s')
    """
    size, letter = next((unit for unit in UNITS if flops_per_s >= 0.9995 * unit[0]), UNITS[-1])
    return f"{flops_per_s / size:.3g} {letter}FLOP/s"


class RooflinePlot(Plot):
    """Dots are probes, lines the most that the device reaches: of memory rising, of arithmetic level."""

    about = (
        "The roofline of the profile (Williams et al., 2009). Dots are its probes, those of the kind or rule in "
        "the tree over the others. Lines are the most that probes reached: left, where they rise, memory is the "
        "limit; right, where they are level, arithmetic is. The upper one is that of tensors in a cache nearby."
    )

    def __init__(self, **options: Any):
        super().__init__(
            x_name="FLOPs a byte", y_name="FLOP/s", y_text=rate_text, zero=False, logarithmic=True,
            empty="no measurements in this profile", **options,
        )  # fmt: skip

    def show_roofs(self, roofs: Roofs, kind: str, leaves: Sequence[int]) -> None:
        """Show a profile's roofs and probes, those of a part of a kind over the others."""
        own, others = roofs.of_kind(kind, leaves), roofs.others(kind)
        series = [_series("others", others, "dots", 5), _series(kind, own, "dots", 2)]
        if roofs.roofline is not None:
            series += [
                _series("roof", roofs.roof(near=False), "line", 0),
                _series("in caches", roofs.roof(near=True), "line", 1),
            ]
        self.show(series)


def _series(name: str, points: Points, style: Any, color: int) -> Series:
    return Series(name, points.x, points.y, style, color, dash=color)
