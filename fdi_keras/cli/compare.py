"""``fdi compare``."""

from __future__ import annotations

from typing import Any

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option


@click.command(
    epilog="""
    \b
    Examples:
      fdi compare local local-2-threads
      fdi compare pixel.json galaxy.json --kind conv2d
      fdi compare local pixel --json | jq '.kinds.conv2d.ratio'
    """
)
@click.argument("first")
@click.argument("second")
@click.option("--kind", metavar="KIND", help="Only this kind, such as conv2d.")
@json_option
def compare(first: str, second: str, kind: str | None, as_json: bool) -> None:
    """Show where two devices, or two runtimes of one, differ.

    FIRST and SECOND are profiles: files, or names. For every kind of operator that both know, the
    ratio of their predicted times (median and middle half) over the operators that either measured
    and that are in the range of both; above 1 the second is slower. Below, where in the space of
    layer sizes that ratio is what.

    JSON: first, second, warnings and kinds: by name first_error, second_error (0.05 is 5 %), ratio, low, high
    (quartiles), operators, and regions with conditions, ratio, low, high and operators.
    """
    from fdi_keras.cli.rules import model_of
    from fdi_keras.profile import load_profile
    from fdi_keras.profile.compare import compare_profiles, regions

    profiles = load_profile(first), load_profile(second)
    if kind:
        for profile in profiles:
            model_of(profile, kind)
    kinds = [found for found in compare_profiles(*profiles) if kind in (None, found.kind)]
    divided = {found.kind: regions(*profiles, found.kind) for found in kinds}
    if as_json:
        console.print_json(
            {
                "first": profiles[0].name,
                "second": profiles[1].name,
                "warnings": [profile.caution for profile in profiles if profile.caution],
                "kinds": {
                    found.kind: {
                        **_without(found._asdict(), "kind"),
                        "regions": [region._asdict() for region in divided[found.kind]],
                    }
                    for found in kinds
                },
            }
        )
        return
    from fdi_keras.cli.compare_view import print_comparison

    print_comparison(console.stdout(), profiles, kinds, divided)


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
