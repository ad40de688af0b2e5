"""``fdi measure``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, device_option, json_option, model_argument, runtime_options

if TYPE_CHECKING:
    from fdi_keras.devices import RuntimeChoice


@click.command(
    epilog="""
    \b
    Examples:
      fdi measure net.keras
      fdi measure net.tflite --threads 2 --seconds 10 --json | jq .median_ms
      fdi measure net.tflite --device R58M12ABCDE --delegate gpu
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
@click.option(
    "--counters",
    is_flag=True,
    help="Count cache accesses too: simpleperf on phones, here perf, else a simulation.",
)
@runtime_options
@json_option
def measure(
    model: Path,
    device: str,
    threads: int,
    seconds: float,
    counters: bool,
    runtime: RuntimeChoice,
    as_json: bool,
) -> None:
    """Time a model on a device, for real: batch size 1, float32.

    MODEL is a .keras or a .tflite file; a Keras model is converted first. The median is what
    to compare; the quartile distance says how restless the device was. On a phone, a second run
    with the tool's own profiler tells where the time goes.

    JSON: median_ms, iqr_ms, min_ms, runs, device, threads, runtime and notes; of phones also operators
    (each kind, name, first_ms, avg_ms, share, memory_kb, times_called), with --counters
    cache_references and cache_misses of an inference, and cache_source, what counted them.
    """
    with console.working(f"Reading {model.name}", quiet=as_json) as status:
        if model.suffix != ".tflite":
            console.quiet_tensorflow()
        import msgspec

        from fdi_keras.devices import open_runner
        from fdi_keras.devices.caches import CacheSizes
        from fdi_keras.networks.latency import as_litert, time_networks
        from fdi_keras.study.timing import count_one

        content = as_litert(model)
        if status:
            status.update(console.plain(f"Timing {model.name} on {device} for {seconds:g} s"))
        with open_runner(device, msgspec.structs.replace(runtime, threads=threads)) as runner:
            (measured,) = time_networks(runner, [content], device, seconds)
            table = runner.operator_table(content)
            if counters and status:
                status.update(console.plain(f"Counting the cache accesses of {model.name}"))
            cache = count_one(runner, device, content, CacheSizes()) if counters else None
    if as_json:
        document = measured.to_dict()
        if table is not None:
            document["operators"] = [msgspec.structs.asdict(row) for row in table.rows]
        if cache is not None:
            document |= {"cache_references": cache.references, "cache_misses": cache.misses}
            document["cache_source"] = cache.source
        console.print_json({**document, "notes": runner.notes})
        return
    from fdi_keras.cli.measure_view import print_measured

    print_measured(console.stdout(), model.name, measured, table, cache)
    console.print_warnings(runner.notes)
