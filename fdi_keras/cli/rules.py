"""``fdi rules``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option

if TYPE_CHECKING:
    from fdi_keras.execution_time import TimeModel
    from fdi_keras.profile import DeviceProfile


@click.command(
    epilog="""
    \b
    Examples:
      fdi rules local
      fdi rules local --kind conv2d
      fdi rules local --json | jq '.kinds.conv2d.rules[].text'
    """
)
@click.argument("profile")
@click.option("--kind", metavar="KIND", help="Show the rules of this kind, such as conv2d.")
@json_option
def rules(profile: str, kind: str | None, as_json: bool) -> None:
    """Show what a profile has learned, as rules in words.

    PROFILE is a file, or the name of a profile of yours or of an installed one. Without --kind
    an overview of the kinds of operators is shown.

    The time model of a kind is a tree. A rule is the path to one leaf: under which conditions
    it holds, and a time that is linear in FLOPs, memory and parameters.

    JSON: profile, device, runtime, threads, overhead_ms, warnings and kinds: by name of the kind
    measurements, borrowed (from other kinds), mape (held-out error, 0.05 is 5 %), tested (how many
    measurements the error is of), within_10, accounts (shares of the predicted time) and rules, each with
    text, conditions, formula, samples, mape, intercept_ms and weights in ms a FLOP, byte or parameter.
    """
    from fdi_keras.profile import load_profile

    loaded = load_profile(profile)
    models = {kind: model_of(loaded, kind)} if kind else loaded.models
    if as_json:
        console.print_json(_document(loaded, models))
        return
    from fdi_keras.cli import rules_view

    out = console.stdout()
    if kind:
        rules_view.print_rules(out, loaded, models[kind])
    else:
        rules_view.print_overview(out, loaded, profile)


def model_of(profile: DeviceProfile, kind: str) -> TimeModel:
    """The time model of one kind.

    Raises:
        UsageError: there is no such kind.
        UnknownOperatorsError: the profile does not know it.
    """
    from fdi_keras.errors import UnknownOperatorsError
    from fdi_keras.operators import get_kind

    get_kind(kind)
    if kind not in profile.models:
        raise UnknownOperatorsError(
            f"profile {profile.name!r} has no time model for {kind}; it has {', '.join(profile.models)}. "
            f"'fdi profile --kinds {kind}' learns one."
        )
    return profile.models[kind]


def _document(profile: DeviceProfile, models: dict[str, TimeModel]) -> dict[str, Any]:
    import msgspec

    from fdi_keras.execution_time import accounts, describe_rules

    measured = profile.measurements
    return {
        "profile": profile.name,
        "device": profile.device.name,
        "runtime": f"{profile.runtime.name} {profile.runtime.version}",
        "threads": profile.runtime.threads,
        "overhead_ms": profile.overhead_ms,
        "warnings": [profile.caution] if profile.caution else [],
        "kinds": {
            kind: {
                "measurements": model.error.measurements,
                "borrowed": model.borrowed,
                "mape": model.error.mape,
                "tested": model.error.tested or model.error.measurements,
                "accounts": accounts(model, measured[kind].dims) if kind in measured else {},
                "within_10": model.error.within_10,
                "rules": msgspec.to_builtins(describe_rules(model)),
            }
            for kind, model in models.items()
        },
    }
