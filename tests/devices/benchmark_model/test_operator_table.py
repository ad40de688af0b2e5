"""The three-part file of the operator profiler, recorded and damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_outputs import recorded
from searching import examples

from fdi_keras.devices.benchmark_model import parse_profile
from fdi_keras.errors import OutputDamagedError

RUNS = recorded()
CNN = RUNS["cnn_prof_csvfile"].output.files["profile"].decode()
MIXED = RUNS["mixed_prof_csvfile"].output.files["profile"].decode()


def test_rows_of_xnnpack_with_commas_in_their_names():
    profile = parse_profile(CNN)
    assert profile.runs == 6418
    assert [row.kind for row in profile.rows][:3] == [
        "Convolution (NHWC, F32) IGEMM",
        "Convolution (NHWC, F32) DWConv",
        "Fully Connected (NC, F32) GEMM",
    ]
    first = profile.rows[0]
    assert (first.name, first.first_ms, first.avg_ms) == (
        "Delegate/Convolution (NHWC, F32) IGEMM:0",
        0.011,
        0.00718884,
    )
    assert first.share == pytest.approx(0.0616087)
    assert len(profile.rows) == 9
    assert profile.total_ms == pytest.approx(0.116686, rel=1e-5)
    assert sum(row.share for row in profile.rows) == pytest.approx(1, abs=1e-4)


def test_operators_of_the_runtime_itself_keep_the_names_of_their_nodes():
    profile = parse_profile(MIXED.encode())
    assert [(row.kind, row.name, row.times_called) for row in profile.rows] == [
        ("Convolution (NHWC, F32) IGEMM", "Delegate/Convolution (NHWC, F32) IGEMM:0", 2),
        ("CUMSUM", "[functional_3_1/Cumsum]:1", 1),
        ("GELU (NC)", "Delegate/GELU (NC):1", 1),
    ]


@pytest.mark.parametrize("text", [CNN, MIXED])
def test_no_beginning_of_the_file_is_a_table(text):
    whole = len(text.rstrip())
    for end in range(0, whole, 7):
        with pytest.raises(OutputDamagedError):
            parse_profile(text[:end])


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("node type, first, avg_ms", "node type, first, avg_us", "other columns"),
        ("Max Pooling (NHWC, F32), 0.005", "Max Pooling (NHWC, F32), much", "cannot be read"),
        ("Max Pooling (NHWC, F32), 0.005", "Max Pooling (NHWC, F32), nan", "impossible numbers"),
        ("nodes executed: 9", "nodes executed: 8", "says that it has 8"),
        ("Operator-wise Profiling Info", "Info", "no profile of the regular runs"),
    ],
)
def test_another_file_is_named(before, after, why):
    head, mark, regular = CNN.partition("Operator-wise")
    with pytest.raises(OutputDamagedError, match=why):
        parse_profile(head + (mark + regular).replace(before, after))


@examples(150)
@given(st.data())
def test_lost_and_exchanged_lines_never_give_other_rows(data):
    lines = data.draw(st.sampled_from([CNN, MIXED])).splitlines()
    original = parse_profile("\n".join(lines) + "\n")
    first, second = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    if data.draw(st.booleans()):
        lines[first], lines[second] = lines[second], lines[first]
    else:
        del lines[first]
    try:
        got = parse_profile("\n".join(lines) + "\n")
    except OutputDamagedError:
        return
    assert sorted(map(repr, got.rows)) == sorted(map(repr, original.rows))
