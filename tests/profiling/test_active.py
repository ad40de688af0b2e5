"""An active design: chosen by what was timed, resumable, and blind to what is set aside."""

import itertools
import math

import numpy as np
import pytest

from fdi_keras.operators import KINDS
from fdi_keras.profiling import Measurement, Plan, Records, configurations, design
from fdi_keras.profiling.active import HELD_OUT_OF, ActiveWork, is_held_out, work_of
from fdi_keras.profiling.work import Work

PLAN = Plan(["dense"], active=True, measurements=400).checked()


def step_ms(configuration):
    """A device on which narrow layers take longer, in a way that no feature tells."""
    flops = KINDS["dense"].explain(configuration.dims)[0][0]
    odd = configuration.dims["in_channels"] < 300
    return 1e-3 + 1e-7 * flops * (1.0 + 3.0 * odd * (1 + math.sin(configuration.dims["out_channels"])))


def carry_out(work, count, batch=16, ms=step_ms):
    found = {}
    while len(found) < count and (items := work.take(min(batch, count - len(found)))):
        for index, configuration in items:
            assert index not in found
            found[index] = configuration
            work.finish(index, ms(configuration))
    return found


def test_it_asks_where_it_is_least_sure():
    found = carry_out(ActiveWork(PLAN), 400)
    assert len(found) == 400
    chosen = [c for c in found.values() if not is_held_out("dense", c.group)][60:]
    plain = [c for c in design(["dense"], 2000) if not is_held_out("dense", c.group)]
    narrow, usual = (np.mean([c.dims["in_channels"] < 300 for c in part]) for part in (chosen, plain))
    assert narrow > 1.3 * usual


def test_what_is_set_aside_comes_as_it_comes():
    """The rows that the error is measured on are those of the plain design, whatever the times were."""
    ways = [carry_out(ActiveWork(PLAN), 300), carry_out(ActiveWork(PLAN), 300, ms=lambda c: 1.0)]
    aside = [[i for i, c in way.items() if is_held_out("dense", c.group)] for way in ways]
    others = [[i for i, c in way.items() if not is_held_out("dense", c.group)] for way in ways]
    assert aside[0] == aside[1]
    assert others[0] != others[1]
    expected = (i for i, c in enumerate(configurations(["dense"])) if is_held_out("dense", c.group))
    assert aside[0] == list(itertools.islice(expected, len(aside[0])))
    assert len(aside[0]) == pytest.approx(300 / HELD_OUT_OF, abs=5)


def test_the_limit_is_a_number_of_measurements():
    work = ActiveWork(Plan(["dense", "relu"], active=True, measurements=90).checked())
    found = carry_out(work, 1000, ms=lambda c: 1.0)
    assert len(found) == work.total == 90
    assert work.take(1) == []


def test_kinds_keep_their_shares():
    plan = Plan(["conv2d", "dense", "relu"], active=True, measurements=300).checked()
    found = carry_out(ActiveWork(plan), 300, ms=lambda c: 1.0 + c.dims.get("in_channels", 1))
    for kind in plan.kinds:
        usual = sum(c.kind == kind for c in design(plan.kinds, 300))
        assert sum(c.kind == kind for c in found.values()) == pytest.approx(usual, abs=0.05 * usual + 3)


def test_it_goes_on_after_a_kill():
    found = carry_out(ActiveWork(PLAN), 150)
    records = Records("journal", None, None, PLAN, overhead_ms=0.001)
    for index, (kind, dims, group) in found.items():
        ms = 0.001 + step_ms(found[index])
        records.measurements[index] = Measurement(index, kind, dims, group, ms, 0.0, ms, 10)
    again = carry_out(work_of(PLAN, records), 1000)
    assert len(again) == 250
    assert not set(again) & set(found)
    aside = [i for i, c in {**found, **again}.items() if is_held_out("dense", c.group)]
    assert len(aside) == pytest.approx(400 / HELD_OUT_OF, abs=6)


def test_some_come_first_and_others_not_at_all():
    elsewhere = dict.fromkeys(range(30, 60), 1.0)
    work = work_of(PLAN, None, elsewhere, first=range(24))
    first = carry_out(work, 24)
    assert set(first) == set(range(24))
    assert not set(carry_out(work, 300)) & set(range(60)) - set(range(24, 30))
    plain = work_of(Plan(["dense"], measurements=70).checked(), None, elsewhere, first=range(24))
    assert type(plain) is Work
    assert set(carry_out(plain, 100)) == {*range(30), *range(60, 70)}


def test_what_was_given_back_comes_first():
    work = ActiveWork(PLAN)
    taken = [index for index, _ in work.take(5)]
    work.give_back(taken[2:4])
    assert [index for index, _ in work.take(2)] == sorted(taken[2:4])


def test_a_choice_beside_the_timing_takes_each_once_and_keeps_the_limit():
    work = ActiveWork(PLAN, beside=True)
    found = carry_out(work, 1000, batch=8)
    assert len(found) == 400
    aside = [i for i, c in found.items() if is_held_out("dense", c.group)]
    alone = [i for i, c in carry_out(ActiveWork(PLAN), 400).items() if is_held_out("dense", c.group)]
    assert aside == alone


def test_what_goes_wrong_beside_the_timing_is_not_lost(monkeypatch):
    work = ActiveWork(PLAN, beside=True)
    items = work.take(32)
    for index, configuration in items:
        work.finish(index, step_ms(configuration))

    def fails(*_):
        raise MemoryError("no more")

    monkeypatch.setattr(work, "_round", fails)
    with pytest.raises(MemoryError, match="no more"):
        carry_out(work, 400)
