"""``fdi predict``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option, model_argument


@click.command(
    epilog="""
    \b
    Examples:
      fdi predict net.keras --profile local
      fdi predict net.tflite --profile phone.json --json | jq .total_ms
    """
)
@model_argument
@click.option(
    "--profile", required=True, metavar="PROFILE", help="A file, or the name of your own or an installed one."
)
@click.option("--energy", is_flag=True, help="Predict the energy of an inference too.")
@click.option("--roofline", is_flag=True, help="Say of each operator whether arithmetic or memory limits it.")
@json_option
def predict(model: Path, profile: str, energy: bool, roofline: bool, as_json: bool) -> None:
    """Predict the latency of a model, operator by operator.

    MODEL is a .keras or a .tflite file. It is read as the operators that the device will
    execute: batch normalization folded, activations fused. Operators that the profile does
    not know are not in the total; 'coverage' says what share of FLOPs and memory was priced.

    JSON: total_ms, coverage (0 to 1), operators (each name, kind, predicted_ms, rule, dims,
    flops, memory_bytes, parameters, low_ms, high_ms; predicted_ms is null where it is unknown),
    warnings, coverage_flops, coverage_memory, profile, and low_ms and high_ms, between which nine of
    ten measured times are expected (null for a profile that was learned before there were
    intervals). With --energy total_mj, coverage_energy and each operator's predicted_mj too; they
    are null otherwise. With --roofline its flops_per_s and bytes_per_s, and of each operator intensity, bound and
    roof_ms, the least time in which this device could do it.
    """
    from fdi_keras.profile import load_profile

    loaded = load_profile(profile)
    with console.working(f"Reading {model.name}", quiet=as_json):
        if model.suffix != ".tflite":
            console.quiet_tensorflow()
        from fdi_keras.networks import predict_latency

        report = predict_latency(model, loaded, energy=energy)
    if roofline:
        from fdi_keras.study.roofline import place_all, roofline_of

        roofs = roofline_of(loaded)
        places = place_all(roofs, report)
    if as_json:
        document = report.to_dict()
        if roofline:
            document["roofline"] = asdict(roofs)
            for row, place in zip(document["operators"], places, strict=True):
                row |= asdict(place)
        console.print_json(document)
        return
    from fdi_keras.cli.predict_view import print_report, print_roofline

    print_report(console.stdout(), report, loaded, model.name)
    if roofline:
        print_roofline(console.stdout(), report, roofs, places)
    console.print_warnings(report.warnings)
