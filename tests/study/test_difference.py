"""Networks of equal FLOPs and different times, operator by operator."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import fdi_keras as fdi
from fdi_keras.cli.sweep_view import print_pairs
from fdi_keras.operators import KINDS, Operator, memory_access
from fdi_keras.profile.roofline import roofline_of
from fdi_keras.study import equal_pairs
from fdi_keras.study.difference import LEFT, MOST, difference, in_words
from fdi_keras.study.explain import EqualPair
from fdi_keras.study.network import Swept, SweptOperator
from fdi_keras.study.report import explained_pairs, html_page

PROFILE = fdi.load_profile("x86-avx512-litert")
CONV = {"height": 28, "width": 28, "in_channels": 64, "out_channels": 64, "kernel": 3}
ADD = {"height": 56, "width": 56, "channels": 64}


def row(kind, name="x", priced=True, **dims):
    operator = Operator(kind, KINDS[kind].complete(dims), name)
    predicted = PROFILE.models[kind].predict_ms(operator.dims).item() if priced else None
    return SweptOperator(
        name, kind, operator.dims, operator.explained["flops"], memory_access(operator), predicted
    )


def network(family, operators, multiplier=1.0):
    known = all(operator.predicted_ms is not None for operator in operators)
    predicted = sum(operator.predicted_ms or 0.0 for operator in operators) if known else None
    return Swept(
        family,
        multiplier,
        sum(operator.flops for operator in operators),
        sum(operator.memory_bytes for operator in operators),
        1.0,
        predicted,
        10.0 if family == "slow" else 5.0,
        operators=tuple(operators),
    )


def pair(slow, fast):
    return EqualPair(network("slow", slow), network("fast", fast), 2.0, 1.0)


operators = st.lists(
    st.one_of(
        st.builds(row, st.just("conv2d"), priced=st.just(True), height=st.integers(4, 30),
                  width=st.just(8), in_channels=st.integers(1, 40), out_channels=st.integers(1, 40),
                  kernel=st.just(3)),
        st.builds(row, st.just("add"), height=st.integers(1, 60), width=st.just(8),
                  channels=st.integers(1, 64)),
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


@given(operators, operators)
def test_parts_and_the_rest_are_the_whole_difference(slow, fast):
    found = difference(pair(slow, fast))
    named = sum(part.more for part in found.parts)
    assert named + found.rest + found.by_flops == pytest.approx(found.total, abs=1e-9)
    sizes = [abs(part.more) for part in found.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) <= MOST


@given(operators, operators)
def test_what_both_have_is_no_difference(shared, extra):
    found = difference(pair(shared, shared))
    assert found.total == pytest.approx(0, abs=1e-12)
    assert all(part.more == pytest.approx(0, abs=1e-12) for part in found.parts)
    one, other = difference(pair(extra, shared)), difference(pair(shared, extra))
    assert one.total == pytest.approx(-other.total)


def test_the_operators_that_make_it_are_named_first():
    convolution = row("conv2d", "body", **CONV)
    found = difference(
        pair([convolution, *[row("add", "shortcut", **ADD)] * 40], [convolution, convolution]),
        roofline_of(PROFILE),
    )
    first = found.parts[0]
    assert (first.name, first.kind, first.slower, first.faster, first.bound) == (
        "shortcut", "add", 40, 0, "memory",
    )  # fmt: skip
    assert {part.kind: part.bound for part in found.parts}.get("conv2d", "compute") == "compute"
    assert first.more > 0
    assert abs(found.rest) <= LEFT * sum(abs(part.more) for part in found.parts) / (1 - LEFT)


def test_without_predictions_bytes_are_compared():
    fast = [row("conv2d", priced=False, **CONV)]
    found = difference(pair([*fast, row("add", "shortcut", priced=False, **ADD)], fast))
    assert found.by == "memory_bytes"
    assert found.total == pytest.approx(3 * 4 * 56 * 56 * 64)
    assert found.parts[0].bound is None
    assert "MB moved" in in_words(found, network("slow", fast), network("fast", fast))


def test_operators_without_a_price_are_counted():
    fast = [row("conv2d", **CONV)]
    unknown = SweptOperator("odd", "while", {}, 10.0, 40.0, None)
    slow = network("slow", [*fast, *fast])
    slow = Swept(
        slow.family, 1.0, slow.flops, slow.memory_bytes, 1.0, 3.0, operators=(*slow.operators, unknown)
    )
    found = difference(EqualPair(slow, network("fast", fast), 2.0, 1.0))
    assert found.unpriced == 1
    assert "does not know are not in it: 1." in in_words(found, slow, network("fast", fast))


def rows_of_a_study():
    slow = [row("conv2d", "body", **CONV), *[row("add", "<short>", **ADD)] * 20]
    fast = [row("conv2d", "body", **CONV)]
    return [
        network("slow", slow),
        network("fast", fast),
        network("slow", slow * 4, 2.0),
        network("fast", fast * 4, 2.0),
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_reports_show_them(width):
    networks = rows_of_a_study()
    out = Console(file=io.StringIO(), width=width)
    print_pairs(out, networks, roofline_of(PROFILE))
    text = " ".join(out.file.getvalue().split())
    assert "slow 1 less fast 1: " in text
    assert "add 56x56x64" in text
    assert "memory" in text
    assert max(map(len, out.file.getvalue().splitlines())) <= width
    page = html_page(networks, "here", roofline_of(PROFILE), ["nothing was <measured>"])
    assert "nothing was &lt;measured&gt;" in page
    assert "&lt;short&gt;" in page
    assert "add 56x56x64" in page
    found = explained_pairs(networks)
    assert len(found) == len(equal_pairs(networks, 3))
    assert found[0]["difference"]["parts"][0]["dims"]["channels"] == 64
    assert found[0]["difference"]["parts"][0]["bound"] is None


def test_rows_from_plain_data_have_no_operators():
    one, other = (Swept(name, 1.0, 1.0, 1.0, 1.0) for name in ("a", "b"))
    assert difference(EqualPair(one, other, 1.0, 1.0)) is None
    assert "operators" not in network("slow", [row("conv2d", **CONV)]).to_dict()
