"""A campaign ends by itself when more measurements no longer help."""

import numpy as np
import pytest

from fdi_keras.operators import KINDS
from fdi_keras.profile.enough import Enough
from fdi_keras.profiling import Plan, configurations
from fdi_keras.profiling.active import ActiveWork


def drawn(kind, count):
    source = configurations([kind])
    return [next(source) for _ in range(count)]


def linear_ms(configuration):
    flops, read, *_ = KINDS[configuration.kind].explain(configuration.dims)[0]
    return 1e-3 + 1e-9 * flops + 1e-8 * read


def asked(enough, kind, ms, counts):
    """What is said at each count."""
    all_of_it = drawn(kind, max(counts))
    return [enough(kind, all_of_it[:n], np.array([ms(c) for c in all_of_it[:n]])) for n in counts]


def test_a_simple_kind_has_enough_after_three_looks():
    said = asked(Enough(0, beside=False), "relu", linear_ms, [100, 240, 370, 560])
    assert said[:3] == [None, None, None]
    assert said[3].startswith("240 measurements were off by ")
    assert "560 by" in said[3]


def test_a_kind_that_is_still_being_understood_has_not():
    class Model:
        def __init__(self, off):
            self.off = off

        def predict_ms(self, dims):
            return np.full(len(dims["channels"]), 1.0 + self.off)

    def learn(kind, dims, times):
        return Model(10.0 / len(times))

    said = asked(Enough(0, beside=False, learn=learn), "relu", lambda c: 1.0, [150, 230, 350, 530, 800])
    assert said == [None] * 5


def test_it_learns_in_a_thread_while_the_device_is_timing():
    enough = Enough(0)
    everything = drawn("relu", 300)
    times = np.array([linear_ms(c) for c in everything])
    assert enough("relu", everything[:160], times[:160]) is None
    enough._curves["relu"].learning._thread.join(60)
    assert enough("relu", everything[:160], times[:160]) is None
    assert [count for count, _ in enough._curves["relu"].models] == [160]


def test_others_get_what_a_settled_kind_would_have_got_and_the_campaign_ends():
    asked_at = {}

    def enough(kind, configurations, times):
        asked_at[kind] = len(times)
        return "it is enough" if len(times) >= {"relu": 90, "add": 40}[kind] else None

    work = ActiveWork(Plan(["relu", "add"], active=True, minutes=5.0).checked(), enough=enough)
    timed = []
    while items := work.take(8):
        for index, configuration in items:
            timed.append(configuration.kind)
            work.finish(index, 1.0)
        assert len(timed) < 2000
    assert work.settled == {"relu": "it is enough", "add": "it is enough"}
    last_add = max(at for at, kind in enumerate(timed) if kind == "add")
    assert timed[last_add + 1 :].count("relu") > 40
    # The design is read on, but nobody keeps what will not be timed.
    assert sum(configuration.kind == "add" for configuration in work._known.values()) < 700


@pytest.mark.parametrize("times", [0.0, -1.0])
def test_times_that_say_nothing_are_not_asked_about(times):
    seen = []
    work = ActiveWork(
        Plan(["relu"], active=True, measurements=80).checked(), enough=lambda k, c, t: seen.append(len(t))
    )
    for at, (index, _) in enumerate(work.take(80)):
        work.finish(index, times if at % 2 else 1.0)
    work.take(8)
    assert all(count <= 40 for count in seen)
