"""``fdi profiles``: the profile files that there are, and what can be done with them."""

from __future__ import annotations

from typing import Any

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, json_option


@click.group(
    invoke_without_command=True,
    epilog="""
    \b
    Examples:
      fdi profiles
      fdi profiles validate local
      fdi profiles rename local kitchen-laptop
      fdi profiles copy x86-avx512-litert /tmp/for-a-friend.json
      fdi profiles delete kitchen-laptop --yes
      fdi profiles two-numbers --gflops 50 --gb-per-s 10 -o someday-phone
    """,
)
@json_option
@click.pass_context
def profiles(ctx: click.Context, as_json: bool) -> None:
    """List profiles: your own, and those that came with fdi-keras; rename, copy, delete, validate, make them.

    The error is the median over the kinds of operators, on measurements that were held out.

    JSON: a list of objects with name, path, own, device, runtime, created (seconds since 1970), kinds,
    measurements, error (0.05 is 5 %; null where nothing was measured), caution, problem.
    """
    if ctx.invoked_subcommand is not None:
        return
    from fdi_tui.data.profile_files import ProfileFolders

    from fdi_keras.profile import profile_folder

    files = ProfileFolders(profile_folder()).read()
    if as_json:
        console.print_json(
            [
                {
                    "name": file.name,
                    "path": str(file.path),
                    "own": file.own,
                    "device": file.device_name,
                    "runtime": file.runtime,
                    "created": file.created,
                    "kinds": len(file.mape),
                    "measurements": file.measurements,
                    "error": file.error,
                    "caution": file.caution,
                    "problem": file.problem,
                }
                for file in files
            ]
        )
        return
    from fdi_keras.cli.tables import new_table
    from fdi_keras.cli.words import error_style, percent

    table = new_table()
    table.add_column("name", style="bold", overflow="fold")
    table.add_column("device", overflow="fold")
    for head in ("kinds", "measured", "error"):
        table.add_column(head, justify="right")
    for file in files:
        device = console.plain(file.problem, "red") if file.problem else console.plain(file.device_name)
        if file.caution:
            device.append("  not measured", "yellow")
        device.append("" if file.own else "  (with fdi-keras)", "dim")
        error = "" if file.error is None else percent(file.error)
        table.add_row(
            console.plain(file.name),
            device,
            str(len(file.mape)),
            str(file.measurements),
            console.plain(error, error_style(file.error or 0.0)),
        )
    console.stdout().print(table)
    console.stdout().print(console.plain(f"Your own are in {profile_folder()}", "dim"), soft_wrap=True)


@profiles.command("two-numbers")
@click.option("--gflops", required=True, type=FiniteRange(min=0, min_open=True), metavar="N",
              help="Peak of floating point operations, 10^9 a second.")  # fmt: skip
@click.option("--gb-per-s", required=True, type=FiniteRange(min=0, min_open=True), metavar="N",
              help="Memory bandwidth, 10^9 bytes a second.")  # fmt: skip
@click.option("-o", "--out", required=True, metavar="TO", help="A path, or a name in your profile folder.")
@json_option
def two_numbers(gflops: float, gb_per_s: float, out: str, as_json: bool) -> None:
    """Make a profile of two published numbers, for a device that cannot be measured.

    Its times are FLOPs over the one and bytes over the other: no steps, no dips, and no operator that is
    slower than its arithmetic. Whatever it prices says that it was not measured.

    JSON: path.
    """
    from fdi_keras.profile.counted import two_number_profile
    from fdi_keras.profile.manage import new_profile_path

    path = new_profile_path(out)
    profile = two_number_profile(gflops, gb_per_s)
    profile.name = path.stem
    profile.save(path)
    _say("Written to", path, as_json)
    if not as_json:
        console.print_warnings([profile.caution])


@profiles.command()
@click.argument("name")
@click.argument("new")
@json_option
def rename(name: str, new: str, as_json: bool) -> None:
    """Give one of your profiles another name.

    JSON: path.
    """
    from fdi_keras.profile.manage import rename_profile

    _say("Renamed to", rename_profile(name, new), as_json)


@profiles.command()
@click.argument("name")
@click.argument("to")
@json_option
def copy(name: str, to: str, as_json: bool) -> None:
    """Write a copy: TO is a path, or another name in your profile folder.

    JSON: path.
    """
    from fdi_keras.profile.manage import copy_profile

    _say("Written to", copy_profile(name, to), as_json)


@profiles.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(name: str, yes: bool, as_json: bool) -> int:
    """Delete one of your profiles, after asking.

    JSON: path. Needs --yes with --json.
    """
    from fdi_keras.profile.manage import delete_profile, own_profile

    path = own_profile(name)
    if not yes:
        if as_json:
            raise click.UsageError("--json cannot ask: add --yes.")
        if not click.confirm(f"Delete {console.clean(path)}?", err=True):
            click.echo("Nothing was deleted.", err=True)
            return 1
    _say("Deleted", delete_profile(path), as_json)
    return 0


@profiles.command()
@click.argument("name")
@json_option
def validate(name: str, as_json: bool) -> None:
    """Check all of a profile's file.

    Exit status 1 if there is something wrong with it; the message names the place.

    JSON: path, valid, kinds, measurements, warnings.
    """
    from fdi_keras.profile import find_profile, load_profile

    profile = load_profile(name)
    measurements = sum(len(table) for table in profile.measurements.values())
    document: dict[str, Any] = {
        "path": str(find_profile(name)),
        "valid": True,
        "kinds": len(profile.models),
        "measurements": measurements,
        "warnings": profile.warnings,
    }
    if as_json:
        console.print_json(document)
        return
    click.echo(f"Nothing is wrong with it: {len(profile.models)} kinds, {measurements} measurements.")
    console.print_warnings(profile.warnings)


def _say(done: str, path: Any, as_json: bool) -> None:
    if as_json:
        console.print_json({"path": str(path)})
    else:
        click.echo(f"{done} {console.clean(path)}")
