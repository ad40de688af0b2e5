"""``fdi campaigns``: what the dashboard's room of that name does, without a screen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option
from fdi_keras.errors import CampaignError

if TYPE_CHECKING:
    from fdi_tui.data.campaigns import ListedCampaign


@click.group(
    invoke_without_command=True,
    epilog="""
    \b
    Examples:
      fdi campaigns
      fdi campaigns --json | jq -r '.[] | select(.state == "died").journal'
      fdi campaigns stop local-litert-xnnpack
      fdi campaigns learn local-litert-xnnpack --out so-far.json
    """,
)
@json_option
@click.pass_context
def campaigns(ctx: click.Context, as_json: bool) -> None:
    """List the campaigns of this computer; stop one; learn from what one has measured so far.

    A campaign that has been interrupted, or died, goes on with 'fdi profile --resume'.

    JSON: a list of objects with name, journal, device, runtime, state (running, silent, paused,
    finished, interrupted, failed, died, elsewhere), host, done, total, failures, seconds, problem.
    """
    if ctx.invoked_subcommand is not None:
        return
    rows = _rows()
    if as_json:
        console.print_json(
            [
                {
                    "name": row.name,
                    "journal": str(row.path),
                    "device": row.device,
                    "runtime": row.runtime,
                    "state": row.standing.state,
                    "host": row.standing.host,
                    "done": row.done,
                    "total": row.total,
                    "failures": row.failures,
                    "seconds": row.seconds,
                    "problem": row.problem,
                }
                for row in rows
            ]
        )
        return
    if not rows:
        click.echo("There are no campaigns yet; 'fdi profile' starts one.")
        return
    from fdi_keras.cli.tables import new_table

    table = new_table()
    for head in ("name", "state", "done", "of", "failed"):
        table.add_column(head, justify="left" if head in ("name", "state") else "right", overflow="fold")
    for row in rows:
        numbers = ("" if n is None else str(n) for n in (row.done, row.total, row.failures))
        state = row.problem or row.standing.state
        table.add_row(console.plain(row.name, "bold"), console.plain(state), *numbers)
    console.stdout().print(table)


@campaigns.command()
@click.argument("name")
@json_option
def stop(name: str, as_json: bool) -> None:
    """Stop a campaign as Ctrl-C would; nothing that was measured is lost.

    JSON: stopped (the name).
    """
    from fdi_tui.data.campaigns import CampaignFollower
    from fdi_tui.data.control import interrupt

    row = _named(name)
    follower = CampaignFollower(row.path)
    while follower.read():
        pass
    reason = interrupt(follower.campaign, time.time())
    if reason:
        raise CampaignError(f"campaign {row.name} cannot be stopped: {reason}")
    if as_json:
        console.print_json({"stopped": row.name})
    else:
        click.echo(f"Told {row.name} to stop.")


@campaigns.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File of the profile.  [default: your profile folder, by the campaign's name]",
)
@click.option(
    "--first", type=click.IntRange(min=1), metavar="N", help="Learn from the first N measurements only."
)
@json_option
def learn(name: str, out: Path | None, first: int | None, as_json: bool) -> None:
    """Learn a profile from what a campaign has measured so far, while it runs or after it was stopped.

    JSON: profile (path), measurements, mape by kind (held-out error, 0.05 is 5 %).
    """
    row = _named(name)
    from fdi_keras.profile import learn_profile, profile_folder
    from fdi_keras.profiling import read_records

    records = read_records(row.path)
    if first is not None:
        kept = list(records.measurements)[:first]  # in the order in which they were made
        records.measurements = {index: records.measurements[index] for index in kept}
    path = out or profile_folder() / f"{row.path.stem}.json"
    with console.working(f"Learning from {row.name}", quiet=as_json):
        profile = learn_profile(records, name=path.stem)
    profile.save(path)
    measured = sum(len(table) for table in profile.measurements.values())
    if as_json:
        console.print_json({"profile": str(path), "measurements": measured, "mape": profile.mape})
        return
    from fdi_keras.cli.words import count

    click.echo(f"Learned from {count(measured, 'measurement')}: {console.clean(path)}")
    console.print_warnings(profile.warnings)


def _rows() -> list[ListedCampaign]:
    from fdi_tui.data.campaigns import Campaigns

    from fdi_keras.journal import state_folder

    return Campaigns(state_folder() / "campaigns").read(time.time())


def _named(name: str) -> ListedCampaign:
    rows = _rows()
    for row in rows:
        if name in (row.path.stem, row.name, str(row.path)):
            if row.problem:
                raise CampaignError(f"campaign {row.name} cannot be read: {row.problem}.")
            return row
    known = ", ".join(row.name for row in rows) or "none"
    raise CampaignError(f"no campaign {console.clean(name, 80)!r}; known are: {known}.")
