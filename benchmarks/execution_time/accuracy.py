"""Part 1: error and intervals on fresh configurations, beside the measurement's own repeatability."""

from __future__ import annotations

import numpy as np

from benchmarks.execution_time.settings import MAIN, MAIN_LIMIT, OTHER_LIMIT, Rows, Settings
from benchmarks.report import Row
from fdi_keras.execution_time import TimeModel, fit_time_model
from fdi_keras.operators import KINDS

#: Operators below it take about as long as the timer and the invocation vary; reported apart as well.
TINY_MS = 0.002

#: Share of fresh measurements that 90 % intervals must contain.
CONTENT = (0.85, 0.95)


def learn(settings: Settings, kind: str, form: str | None = None) -> TimeModel:
    known = settings.known(kind)
    more = {} if form is None else {"form": form}
    return fit_time_model(
        kind,
        known.dims,
        known.times,
        groups=known.groups,
        seed=settings.seed,
        fetch=settings.fetch,
        **more,
    )


def predict(settings: Settings, model: TimeModel, rows: Rows) -> np.ndarray:
    predicted = model.predict_ms(rows.dims)
    if settings.fetch is None:
        return predicted
    return settings.fetch.probe_ms(predicted, KINDS[model.kind].weight_bytes(rows.dims))


def run(settings: Settings) -> list[Row]:
    rows, inside, kinds_inside = [], [], []
    for kind in settings.kinds:
        fresh, model = settings.fresh(kind), learn(settings, kind)
        if not len(fresh):
            rows.append(Row("1", f"MAPE {kind}", "fresh measurements", "none beyond the budget", None))
            continue
        predicted = predict(settings, model, fresh)
        off = np.abs(predicted / fresh.times - 1)
        limit = MAIN_LIMIT if kind in MAIN else OTHER_LIMIT
        repeated = settings.repeatability(kind, fresh)
        paper = np.abs(predict(settings, learn(settings, kind, "paper"), fresh) / fresh.times - 1)
        larger = fresh.times > TINY_MS
        ends = model.interval_of(fresh.dims)
        details = {
            "learned_from": len(settings.known(kind)),
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
        if ends is not None:
            within = (fresh.times >= ends[0] * predicted) & (fresh.times <= ends[1] * predicted)
            details["inside_interval"] = float(within.mean())
            inside.append(within)
            kinds_inside.append((kind, float(within.mean())))
        repeats = "" if repeated is None else f", repeatability {repeated:.1%}"
        rows.append(
            Row(
                "1",
                f"MAPE {kind}, {len(fresh)} fresh, learned from {len(settings.known(kind))}",
                f"<= {limit:.0%}",
                f"{off.mean():.2%} (median {np.median(off):.1%}, form paper {paper.mean():.1%}{repeats})",
                bool(off.mean() <= limit),
                details,
            )
        )
    if inside:
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
