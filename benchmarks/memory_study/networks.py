"""Part 2: VGG-16, ResNet-50 and MobileNet at the widths of the study, on this computer."""

from __future__ import annotations

from dataclasses import asdict

import fdi_keras as fdi
from benchmarks.memory_study.settings import Settings
from benchmarks.report import Row
from fdi_keras.study import correlations, equal_pairs, fits, roofline_of
from fdi_keras.study.families import FAMILIES
from fdi_keras.study.report import answer, explained_pairs, html_page, write_pictures

#: Networks of the study.
NETWORKS = 32


def run(settings: Settings) -> list[Row]:
    networks = fdi.sweep(
        list(FAMILIES),
        profile=settings.profile,
        folder=settings.work,
        report=lambda text: print(f"  {text}", flush=True),
    )
    write_pictures(networks, settings.work)
    roofline = roofline_of(fdi.load_profile(settings.profile))
    (settings.work / "study.html").write_text(html_page(networks, "this computer", roofline))
    timed = sum(network.measured_ms is not None for network in networks)
    rows = [Row("2", "networks of the study measured", f"{NETWORKS}", f"{timed}", timed == NETWORKS)]
    rows[0].details["networks"] = [network.to_dict() for network in networks]
    rows[0].details["pairs"] = explained_pairs(networks, roofline)
    for name, found in correlations(networks).items():
        rows.append(
            Row(
                "2",
                f"correlation of {name} with time",
                "reported",
                f"linear {found.linear:.4f}, rank {found.rank:.4f}",
                None,
            )
        )
    rows += [
        Row(
            "2",
            f"error of a fit on {' and '.join(fit.terms)}",
            "reported",
            f"{fit.mape:.1%}",
            None,
            asdict(fit),
        )
        for fit in fits(networks)
    ]
    rows += [
        Row("2", f"{pair.slower.name} against {pair.faster.name}, equal FLOPs", "reported",
            f"{pair.times_as_long:.2f} x the time, {pair.memory_ratio:.2f} x the bytes", None)
        for pair in equal_pairs(networks)
    ]  # fmt: skip
    rows.append(Row("2", "finding", "said plainly", " ".join(answer(networks)), None))
    return rows
