"""``fdi measure``."""

from __future__ import annotations

from pathlib import Path

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, device_option, json_option, model_argument


@click.command(
    epilog="""
    \b
    Examples:
      fdi measure net.keras
      fdi measure net.tflite --threads 2 --seconds 10 --json | jq .median_ms
    """
)
@model_argument
@device_option
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Of the runtime."
)
@click.option(
    "--seconds",
    type=FiniteRange(min=0, min_open=True, max=3600),
    default=2.0,
    metavar="S",
    show_default=True,
    help="How long to keep measuring.",
)
@json_option
def measure(model: Path, device: str, threads: int, seconds: float, as_json: bool) -> None:
    """Time a model on a device, for real: batch size 1, float32.

    MODEL is a .keras or a .tflite file; a Keras model is converted first. The median is what
    to compare; the quartile distance says how restless the device was.

    JSON: median_ms, iqr_ms, min_ms, runs, device, threads and runtime.
    """
    with console.working(f"Reading {model.name}", quiet=as_json) as status:
        if model.suffix != ".tflite":
            console.quiet_tensorflow()
        from fdi_keras.networks import measure_latency
        from fdi_keras.networks.latency import as_litert

        content = as_litert(model)
        if status:
            status.update(console.plain(f"Timing {model.name} on {device} for {seconds:g} s"))
        measured = measure_latency(content, device, threads, seconds)
    if as_json:
        console.print_json(measured.to_dict())
        return
    from rich.text import Text

    from fdi_keras.cli.words import count

    console.stdout().print(
        Text.assemble(
            console.plain(model.name, "bold"),
            ": ",
            (f"{measured.median_ms:.4g} ms", "bold green"),
            " median of ",
            f"{count(measured.runs, 'run')}, quartile distance {measured.iqr_ms:.2g} ms, "
            f"fastest {measured.min_ms:.4g} ms\n",
            console.plain(
                f"on {measured.device} with {measured.runtime}, {count(measured.threads, 'thread')}", "dim"
            ),
        )
    )
