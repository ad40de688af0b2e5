"""``fdi minima``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, json_option, parse_dimensions, parse_range

if TYPE_CHECKING:
    from fdi_keras.cli.curve import Curve

#: Share of an average channel's cost that still counts as free (our choice): within a block
#: that is computed in full anyway a channel costs a few percent of that, outside it all.
FREE = 0.25


@click.command(
    epilog="""
    \b
    Examples:
      fdi minima local --kind conv2d \\
          --set in_channels=64,kernel=3,height=28,width=28 --vary out_channels=1:128
      fdi minima local --kind dense --set in_channels=512 --vary out_channels=8:1024:8
      fdi minima ... --json | jq '[.minima[].width]'
    """
)
@click.argument("profile")
@click.option("--kind", required=True, metavar="KIND", help="Kind of operator, such as conv2d.")
@click.option(
    "--set",
    "fixed",
    multiple=True,
    metavar="NAME=N,...",
    help="Its other dimensions; what is left out takes the kind's default. padding is same or valid.",
)
@click.option(
    "--vary",
    required=True,
    metavar="NAME=FIRST:LAST[:STEP]",
    help="The dimension that changes, and its values; LAST is one of them.",
)
@click.option(
    "--free",
    type=FiniteRange(min=0, max=1, max_open=True),
    default=FREE,
    metavar="SHARE",
    show_default=True,
    help="More channels count as free when each costs at most this share of an average one.",
)
@json_option
def minima(profile: str, kind: str, fixed: tuple[str, ...], vary: str, free: float, as_json: bool) -> None:
    """Find the widths at which more channels cost nothing.

    A time minimum is a width that is no slower than the next smaller one, while the next
    larger one is slower: a dip, or the end of a plateau. They are where a layer should stand.

    Many processors compute blocks of channels (16, say) in full, and a channel within a block
    costs only that its output is written. --free is the share of the average channel (time /
    width) up to which that still counts as nothing, so that a block reports its end. With
    --free 0 only true dips and plateaus are found; they are marked as strict.

    JSON: profile, kind, vary, fixed (all other dimensions), free, widths, times_ms, minima
    (each width, time_ms, strict) and warnings.
    """
    from fdi_keras.cli.curve import predicted_curve
    from fdi_keras.cli.rules import model_of
    from fdi_keras.profile import load_profile

    name, values = parse_range(vary)
    dims = parse_dimensions(fixed)
    loaded = load_profile(profile)
    curve = predicted_curve(model_of(loaded, kind), dims, name, values, free)
    if loaded.caution:
        curve.warnings.insert(0, loaded.caution)
    if as_json:
        console.print_json({"profile": loaded.name, **_document(curve)})
        return
    from fdi_keras.cli.minima_view import print_minima

    print_minima(console.stdout(), curve, loaded)
    console.print_warnings(curve.warnings)


def _document(curve: Curve) -> dict[str, object]:
    return {
        "kind": curve.kind,
        "vary": curve.vary,
        "fixed": curve.fixed,
        "free": curve.free,
        "widths": curve.widths,
        "times_ms": curve.times_ms,
        "minima": [
            {"width": curve.widths[at], "time_ms": curve.times_ms[at], "strict": at in curve.strict}
            for at in curve.minima
        ],
        "warnings": curve.warnings,
    }
