"""``fdi sweep``."""

from __future__ import annotations

from pathlib import Path

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, json_option


@click.command(
    epilog="""
    \b
    Examples:
      fdi sweep vgg16 resnet50 mobilenet --profile local --out study
      fdi sweep net.keras --widths 0.5,1,1.5 --device R58M12ABCDE --counters
    """
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--widths", metavar="FIRST:LAST:STEP",
              help="Multipliers of all widths, or numbers between commas.  [default: the study's]")  # fmt: skip
@click.option("--profile", metavar="PROFILE", help="Predict each network too, by a file or by name.")
@click.option("--device", default="local", show_default=True, metavar="ID",
              help="What times the networks, as 'fdi devices' lists it; 'none': count only.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
@click.option("--seconds", type=FiniteRange(min=0, min_open=True, max=600), default=3.0, show_default=True,
              metavar="S", help="Of timing for each network.")  # fmt: skip
@click.option("--counters", is_flag=True, help="Count cache accesses too: a phone with simpleperf.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Keeps networks, times, pictures and a page (HTML); a stopped sweep goes on there.")  # fmt: skip
@json_option
def sweep(
    models: tuple[str, ...],
    widths: str | None,
    profile: str | None,
    device: str,
    threads: int,
    seconds: float,
    counters: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """What FLOPs do not explain: networks at many widths, counted and timed.

    A MODEL is vgg16, resnet50 or mobilenet, at 224 x 224 pixels, or a .keras file, whose channel spaces are scaled. For
    each width FLOPs, parameters, memory access and FLOPs a byte; the measured time, and with --profile the predicted
    one; then which of these goes with the time, how well FLOPs alone and FLOPs with memory access predict a network
    that was left out, and which networks of equal FLOPs are not equally fast.

    JSON: networks (each family, multiplier, flops, memory_bytes, parameters, predicted_ms, measured_ms, iqr_ms,
    cache_references, cache_misses, kinds), and answer, sentences; null where nothing was measured.
    """
    console.quiet_tensorflow()
    from fdi_keras.study.report import answer, html_page, write_pictures
    from fdi_keras.study.swept import parse_widths
    from fdi_keras.study.swept import sweep as carry_out

    told = console.stderr()
    networks = carry_out(
        models,
        None if widths is None else parse_widths(widths),
        profile=profile,
        device=None if device == "none" else device,
        threads=threads,
        seconds=seconds,
        counters=counters,
        folder=out,
        report=(lambda _: None) if as_json else lambda text: told.print(console.plain(text)),
    )
    from fdi_keras.study.explain import FEWEST

    enough = sum(network.measured_ms is not None for network in networks) >= FEWEST
    said = answer(networks) if enough else None
    if out is not None and enough:
        write_pictures(networks, out)
        (out / "study.html").write_text(html_page(networks, device))
    if as_json:
        console.print_json({"networks": [network.to_dict() for network in networks], "answer": said})
        return
    from fdi_keras.cli.sweep_view import print_sweep

    print_sweep(console.stdout(), networks, said or [])
    if out is not None and enough:
        console.stdout().print(console.plain(f"Written to {out}: study.html, and a picture for each pair."))
