"""``fdi sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, json_option
from fdi_keras.errors import UsageError

if TYPE_CHECKING:
    from fdi_keras.profile import DeviceProfile
    from fdi_keras.profile.roofline import Roofline


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
@click.option("--counters", is_flag=True,
              help="Count cache accesses too: simpleperf on phones, here perf, else a simulation.")  # fmt: skip
@click.option("--l1", type=click.IntRange(min=1), default=32, show_default=True, metavar="KB",
              help="Of simulated caches: the first level.")  # fmt: skip
@click.option("--l2", type=click.IntRange(min=1), default=1024, show_default=True, metavar="KB",
              help="Of simulated caches: the second level.")  # fmt: skip
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
    l1: int,
    l2: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """What FLOPs do not explain: networks at many widths, counted and timed.

    A MODEL is vgg16, resnet50 or mobilenet, at 224 x 224 pixels, or a .keras file, whose channel spaces are scaled. For
    each width FLOPs, parameters, memory access and FLOPs a byte; the measured time, and with --profile the predicted
    one; then which of these goes with the time, how well FLOPs alone and FLOPs with memory access predict a network
    that was left out, and which networks of equal FLOPs are not equally fast.

    --counters counts accesses to the first cache, its misses and those of the second: with simpleperf on a phone, with
    perf on this computer; where it has no counters, as in most virtual machines, valgrind's cachegrind simulates
    caches of the sizes given, in a minute or more for each network. Every output says which.

    Networks of equal FLOPs and different times are explained operator by operator: what each takes beyond its FLOPs.

    JSON: networks (each family, multiplier, flops, memory_bytes, parameters, predicted_ms, measured_ms, iqr_ms,
    cache_references, cache_misses, l2_misses, cache_source, kinds), answer (sentences; null where too little was
    measured), pairs of equal FLOPs (each slower, faster, times_as_long, memory_ratio, difference: by, total, by_flops,
    rest, unpriced, and parts with name, kind, dims, slower and faster (how many each has), flops, memory_bytes,
    intensity, predicted_ms, bound, more), warnings, and notes (what was told on the way).
    """
    console.quiet_tensorflow()
    from fdi_keras.devices.caches import CacheSizes
    from fdi_keras.profile import load_profile
    from fdi_keras.study.report import answer, explained_pairs, html_page, write_pictures
    from fdi_keras.study.swept import parse_widths
    from fdi_keras.study.swept import sweep as carry_out

    told = console.stderr()
    notes: list[str] = []

    def tell(text: str) -> None:
        notes.append(text)
        if not as_json:
            told.print(console.plain(text))

    loaded = None if profile is None else load_profile(profile)
    networks = carry_out(
        models,
        None if widths is None else parse_widths(widths),
        profile=loaded,
        device=None if device == "none" else device,
        threads=threads,
        seconds=seconds,
        counters=counters,
        cache_sizes=CacheSizes(l1, l2),
        folder=out,
        report=tell,
    )
    from fdi_keras.study.explain import FEWEST

    enough = sum(network.measured_ms is not None for network in networks) >= FEWEST
    said = answer(networks) if enough else None
    roofline, warnings = _roofline(loaded)
    if out is not None and enough:
        write_pictures(networks, out)
        (out / "study.html").write_text(html_page(networks, device, roofline, warnings))
    if as_json:
        console.print_json(
            {
                "networks": [network.to_dict() for network in networks],
                "answer": said,
                "pairs": explained_pairs(networks, roofline),
                "warnings": warnings,
                "notes": notes,
            }
        )
        return
    from fdi_keras.cli.sweep_view import print_pairs, print_sweep

    print_sweep(console.stdout(), networks, said or [])
    print_pairs(console.stdout(), networks, roofline)
    console.print_warnings(warnings)
    if out is not None and enough:
        console.stdout().print(console.plain(f"Written to {out}: study.html, and a picture for each pair."))


def _roofline(profile: DeviceProfile | None) -> tuple[Roofline | None, list[str]]:
    """The roofs of a profile, and what a user should know of it."""
    from fdi_keras.profile.roofline import roofline_of

    if profile is None:
        return None, []
    cautions = [profile.caution] if profile.caution else []
    try:
        return roofline_of(profile), cautions
    except UsageError as error:
        return None, [*cautions, f"what bounds each operator is not known: {error}"]
