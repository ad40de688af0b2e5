"""Part 1: error and intervals on fresh configurations, beside the measurement's own repeatability."""

from __future__ import annotations

import numpy as np

from benchmarks.execution_time.settings import (
    FURTHER_LIMIT,
    MAIN,
    MAIN_LIMIT,
    Settings,
    known,
    learned_anew,
    predict,
)
from benchmarks.report import Row

#: Operators below it take about as long as the timer and the invocation vary; reported apart as well.
TINY_MS = 0.002

#: Share of fresh measurements that 90 % intervals must contain.
CONTENT = (0.85, 0.95)


def run(settings: Settings) -> list[Row]:
    rows, inside, kinds_inside = [], [], []
    for kind, model in settings.named.models.items():
        fresh, count = settings.test(kind), len(settings.named.measurements[kind])
        predicted = predict(settings.named, kind, fresh)
        off = np.abs(predicted / fresh.times - 1)
        limit = MAIN_LIMIT if kind in MAIN else FURTHER_LIMIT
        repeated = settings.repeatability[kind]
        paper_form = learned_anew(settings.named, kind, known(settings.named, kind), settings.seed, "paper")
        paper = np.abs(predict(paper_form, kind, fresh) / fresh.times - 1)
        larger = fresh.times > TINY_MS
        details = {
            "learned_from": count,
            "fresh": len(fresh),
            "median": float(np.median(off)),
            "within_10": float((off <= 0.1).mean()),
            "mape_above_2_us": float(off[larger].mean()) if larger.any() else None,
            "paper_form_mape": float(paper.mean()),
            "own_estimate": model.error.mape,
            "repeatability": repeated,
            "leaves": len(model.tree.leaves),
            "linear": model.tree.linear,
        }
        ends = model.interval_of(fresh.dims)
        if ends is not None:
            within = (fresh.times >= ends[0] * predicted) & (fresh.times <= ends[1] * predicted)
            details["inside_interval"] = float(within.mean())
            inside.append(within)
            kinds_inside.append((kind, float(within.mean())))
        rows.append(
            Row(
                "1",
                f"MAPE {kind}, {len(fresh)} fresh, learned from {count}",
                f"<= {limit:.0%}",
                f"{off.mean():.2%} (median {np.median(off):.1%}, form paper {paper.mean():.1%}, "
                f"repeatability {repeated:.1%})",
                bool(off.mean() <= limit),
                details,
            )
        )
    share = float(np.concatenate(inside).mean())
    listed = ", ".join(f"{kind} {s:.0%}" for kind, s in kinds_inside)
    rows.append(
        Row(
            "1",
            "fresh measurements inside 90 % intervals",
            f"{CONTENT[0]:.0%}-{CONTENT[1]:.0%}",
            f"{share:.1%}; {listed}",
            CONTENT[0] <= share <= CONTENT[1],
            dict(kinds_inside),
        )
    )
    return rows
