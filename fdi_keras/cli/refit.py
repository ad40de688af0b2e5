"""``fdi refit``."""

from __future__ import annotations

from pathlib import Path

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option

FORMS = ("tiles", "paper")


@click.command(
    epilog="""
    \b
    Examples:
      fdi refit local
      fdi refit local --form paper --out local-paper.json
      fdi refit pixel.json --out pixel-new.json --json | jq .kinds
    """
)
@click.argument("profile")
@click.option(
    "--form",
    type=click.Choice(FORMS),
    default=FORMS[0],
    show_default=True,
    help="What leaves are linear in; paper: FLOPs, memory and parameters alone.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write it; over the profile itself if left out.",
)
@json_option
def refit(profile: str, form: str, out: Path | None, as_json: bool) -> None:
    """Learn a profile's models anew from the measurements that it holds; nothing is timed.

    PROFILE is a file, or the name of a profile of yours. One that was installed with fdi-keras is not
    written over: name another file with --out.

    JSON: path, form and kinds: by name measurements, before and after (held-out errors, 0.05 is 5 %).
    """
    from fdi_keras.profile import find_profile, load_profile
    from fdi_keras.profile import refit as learn_anew
    from fdi_keras.profile.files import check_not_bundled
    from fdi_keras.writing import check_writable

    loaded = load_profile(profile)
    path = out or find_profile(profile)
    check_not_bundled(path)
    check_writable(path)
    with console.working(f"Learning {loaded.name} anew", quiet=as_json) as status:

        def tell(kind: str, done: int, total: int) -> None:
            if status is not None:
                status.update(f"Learning the time model of {kind}; {done + 1} of {total}")

        new = learn_anew(loaded, form, tell)
    new.save(path)
    changes = {
        kind: (loaded.models[kind].error.mape if kind in loaded.models else None, model.error)
        for kind, model in new.models.items()
    }
    if as_json:
        console.print_json(
            {
                "path": str(path),
                "form": form,
                "kinds": {
                    kind: {"measurements": error.measurements, "before": before, "after": error.mape}
                    for kind, (before, error) in changes.items()
                },
            }
        )
        return
    from fdi_keras.cli.tables import new_table
    from fdi_keras.cli.words import error_style, percent

    table = new_table()
    table.add_column("kind", no_wrap=True)
    for name in ("measured", "held-out error before", "now"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, (before, error) in changes.items():
        table.add_row(
            console.plain(kind),
            str(error.measurements),
            "-" if before is None else percent(before),
            console.plain(percent(error.mape), error_style(error.mape)),
        )
    console.stdout().print(table)
    click.echo(f"Written to {console.clean(path)}")
