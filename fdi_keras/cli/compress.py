"""``fdi compress``."""

from __future__ import annotations

import math
import runpy
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, json_option
from fdi_keras.errors import ModelFileError, UnmeasuredProfileWarning, UsageError

#: Arrays of a file of data: those to learn from, and those to test on.
LEARN, TEST = ("x_train", "y_train"), ("x_test", "y_test")


@click.command(
    epilog="""
    \b
    Examples:
      fdi compress net.keras --data digits.npz --profile local --target 1.5 --epochs 30
      fdi compress train.py --profile phone.json --target 8 --device R58M12ABCDE --epochs 40
      fdi compress train.py --profile local --sweep 0.5,1,2 --epochs 30
      fdi compress train.py --profile a.json --target 3 --budget "5 ms on b.json" --budget "2 MB file" --epochs 30
    """
)
@click.argument("source", metavar="SCRIPT_OR_MODEL", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE",
              help="Of a model: an .npz file with x_train, y_train, and x_test, y_test if there are any.")  # fmt: skip
@click.option(
    "--profile", required=True, metavar="PROFILE", help="A file, or the name of your own or an installed one."
)
@click.option("--target", type=FiniteRange(min=0, min_open=True), metavar="MS",
              help="What an inference shall take.")  # fmt: skip
@click.option("--sweep", metavar="MS,MS,...",
              help="Several targets, one after the other, and the front that comes of them.")  # fmt: skip
@click.option("--epochs", required=True, type=click.IntRange(min=2), metavar="N",
              help="Of steering and fine-tuning together.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, metavar="N")
@click.option("--device", default="local", show_default=True, metavar="ID",
              help="Times the networks, as 'fdi devices' lists it; 'none': the profile's word counts.")  # fmt: skip
@click.option("--budget", "budgets", multiple=True, metavar="TEXT",
              help="A further limit: '5 ms on PROFILE', '12 mJ on PROFILE', '2 MB file' or '1.5 MB memory'; "
                   "any number of them.")  # fmt: skip
@click.option("--mixtures/--no-mixtures", default=True, show_default=True,
              help="Whether means of two examples are taught as well.")  # fmt: skip
@click.option("--remove-branches/--keep-branches", default=True, show_default=True,
              help="Whether whole branches of additions may go.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER",
              help="For what comes of it.  [default: NAME-compressed beside the source]")  # fmt: skip
@click.option(
    "--session", metavar="NAME", help="Under which the dashboard shows it.  [default: of the source]"
)
@json_option
def compress(
    source: Path,
    data: Path | None,
    profile: str,
    target: float | None,
    sweep: str | None,
    epochs: int,
    batch_size: int,
    device: str,
    budgets: tuple[str, ...],
    mixtures: bool,
    remove_branches: bool,
    out: Path | None,
    session: str | None,
    as_json: bool,
) -> None:
    """Make a trained network as fast as asked for: steer, prune, grow, fine-tune, export, measure.

    A model is a .keras file, saved as it was compiled for training; it needs --data. A script is a .py file that,
    when it is run, leaves a compiled and trained `model`, `data` as fit takes it, and `validation_data`
    if there is any.

    Budgets are kept besides the target; of memory the feature maps are meant that are there at once. The latency on
    another profile and energy are predicted, a file is measured.

    What was stopped goes on with the same command: done stages and epochs stay done.

    JSON: folder, target_ms, warnings and stages (each name, parameters, flops, predicted_ms, measured_ms, metrics,
    widths, budgets); measured_ms is null with --device none. With --sweep a list of these, as results.
    """
    targets = _targets(target, sweep)
    from fdi_keras.profile import load_profile

    loaded = load_profile(profile)
    with_limits = _budgets(budgets)
    with console.working(f"Reading {source.name}", quiet=as_json):
        console.quiet_tensorflow()
        model, learn, test = _of_script(source) if source.suffix == ".py" else _of_model(source, data)
    from fdi_keras.compression.recipe import compress as carry_out

    folder = out or source.with_name(f"{source.stem}-compressed")
    told = console.stderr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnmeasuredProfileWarning)  # it is reported
        results = {
            wanted: carry_out(
                model,
                loaded,
                wanted,
                learn,
                epochs,
                validation_data=test,
                batch_size=batch_size,
                device=None if device == "none" else device,
                budgets=with_limits,
                mixtures=mixtures,
                remove_branches=remove_branches,
                folder=folder if sweep is None else folder / f"{wanted:g}ms",
                session=session or source.stem,
                report=(lambda _: None) if as_json else lambda text: told.print(console.plain(text)),
            )
            for wanted in targets
        }
    if sweep is not None:
        from fdi_keras.study.front import write_front

        write_front(list(results.values()), loaded, folder)
    if as_json:
        documents = [
            {
                "folder": str(result.folder),
                "target_ms": wanted,
                "stages": [asdict(s) for s in result.stages],
                "warnings": result.cautions,
            }
            for wanted, result in results.items()
        ]
        console.print_json(documents[0] if sweep is None else {"results": documents})
        return
    from fdi_keras.cli.compress_view import print_front, print_stages

    for result in results.values():
        print_stages(console.stdout(), result)
    if sweep is not None:
        print_front(console.stdout(), list(results.values()), folder)


def _targets(target: float | None, sweep: str | None) -> list[float]:
    if (target is None) == (sweep is None):
        raise UsageError("name what an inference shall take: either --target MS or --sweep MS,MS,...")
    if target is not None:
        return [target]
    try:
        found = [float(part) for part in (sweep or "").split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < number < math.inf for number in found):
        raise UsageError(f"--sweep {sweep!r}: expected milliseconds with commas between, as in 0.5,1,2.")
    return sorted(dict.fromkeys(found), reverse=True)


def _budgets(texts: tuple[str, ...]) -> list[Any]:
    if not texts:
        return []
    console.quiet_tensorflow()
    from fdi_keras.networks.budgets import Budget

    return [Budget.parse(text) for text in texts]


def _of_model(path: Path, data: Path | None) -> tuple[Any, Any, Any]:
    from fdi_keras.networks.export import load_model

    if path.suffix not in (".keras", ".h5"):
        raise ModelFileError(f"{path}: expected a .keras file, or a .py script that makes a model.")
    if data is None:
        raise UsageError("a model needs --data FILE.npz to be trained on; a script brings its own.")
    return load_model(path), *_arrays(data)


def _arrays(path: Path) -> tuple[Any, Any]:
    import numpy as np

    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in (*LEARN, *TEST) if name in file}
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"cannot read {path} as an .npz file of arrays: {error}") from error
    missing = [name for name in LEARN if name not in arrays]
    if missing:
        raise UsageError(f"{path} has no {' and no '.join(missing)}; it needs {', '.join(LEARN)}.")
    test = tuple(arrays[name] for name in TEST if name in arrays)
    return tuple(arrays[name] for name in LEARN), test if len(test) == len(TEST) else None


def _of_script(path: Path) -> tuple[Any, Any, Any]:
    if not path.exists():
        raise UsageError(f"there is no script {path}.")
    try:
        left = runpy.run_path(str(path), run_name="__main__")
    except Exception as error:
        raise UsageError(
            f"{path} failed: {type(error).__name__}: {error}. Run it by itself first."
        ) from error
    missing = [name for name in ("model", "data") if name not in left]
    if missing:
        raise UsageError(f"{path} left no {' and no '.join(missing)}: a script sets model and data.")
    return left["model"], left["data"], left.get("validation_data")
