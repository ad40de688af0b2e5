"""What FLOPs do not explain: counts by hand, networks at any width, fits, pairs, roofs."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import keras
import numpy as np
import pytest

import fdi_keras as fdi
from fdi_keras.errors import ModelFileError, NothingToPruneError, UsageError
from fdi_keras.networks import find_channel_spaces, read_graph, read_operators
from fdi_keras.operators import KINDS, Operator
from fdi_keras.profile.counted import counting_profile
from fdi_keras.study import correlations, equal_pairs, fits, roofline_of
from fdi_keras.study.counts import count, memory_access
from fdi_keras.study.families import FAMILIES
from fdi_keras.study.network import Swept
from fdi_keras.study.report import answer, html_page, write_pictures
from fdi_keras.study.scaling import scaled
from fdi_keras.study.swept import parse_widths

L = keras.layers


def operator(kind, **dims):
    return Operator(kind, KINDS[kind].complete(dims))


@pytest.mark.parametrize(
    ("kind", "dims", "flops", "numbers"),
    [
        # D = 14, M = 32, K = 3: D^2 M^2 K^2 multiply-accumulates, 2 D^2 M + K^2 M^2 numbers, and 32 biases.
        (
            "conv2d",
            {"height": 14, "width": 14, "in_channels": 32, "out_channels": 32, "kernel": 3},
            14**2 * 32**2 * 9,
            2 * 14**2 * 32 + 9 * 32**2 + 32,
        ),
        (
            "depthwise_conv2d",
            {"height": 14, "width": 14, "channels": 32, "kernel": 3},
            14**2 * 32 * 9,
            2 * 14**2 * 32 + 9 * 32 + 32,
        ),
        (
            "conv2d",
            {"height": 14, "width": 14, "in_channels": 32, "out_channels": 32, "kernel": 1},
            14**2 * 32**2,
            2 * 14**2 * 32 + 32**2 + 32,
        ),
        ("dense", {"in_channels": 40, "out_channels": 10}, 400, 40 + 10 + 400 + 10),
    ],
)
def test_counts_are_those_of_the_formulas(kind, dims, flops, numbers):
    one = operator(kind, activation=0, **dims)
    assert memory_access(one) == 4 * numbers
    # Adding the bias is a FLOP of each output that the study does not count.
    assert one.explained["flops"] == pytest.approx(2 * flops, rel=0.06)
    total = count([one, one])
    assert total.memory_bytes == 8 * numbers
    assert total.intensity == pytest.approx(one.explained["flops"] / (4 * numbers))


def test_a_shortcut_is_read_again():
    image = keras.Input((8, 8, 4))
    x = L.Conv2D(4, 1, use_bias=False)(image)
    model = keras.Model(image, L.Add()([x, image]))
    convolution, addition = (memory_access(each) for each in read_operators(model))
    assert addition == 4 * 3 * 8 * 8 * 4  # both read, one written
    assert convolution == pytest.approx(4 * (2 * 8 * 8 * 4 + 16), rel=0.02)


def small():
    image = keras.Input((8, 8, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, padding="same", name="a")(image)))
    x = L.Add()([x, L.Conv2D(8, 3, padding="same", name="b")(x)])
    return keras.Model(image, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(x)), name="small")


@pytest.mark.parametrize("multiplier", [0.25, 1.0, 1.5])
def test_any_network_at_another_width(multiplier):
    wide = scaled(small(), multiplier)
    spaces = find_channel_spaces(read_graph(wide))
    assert {s.name: s.width for s in spaces.prunable} == {"a": round(8 * multiplier)}
    assert wide.output_shape == (None, 4)
    assert np.isfinite(wide.predict(np.ones((1, 8, 8, 3)), verbose=0)).all()


def test_what_cannot_be_scaled():
    with pytest.raises(UsageError, match="above 0"):
        scaled(small(), 0)
    image = keras.Input((3,))
    with pytest.raises(NothingToPruneError):
        scaled(keras.Model(image, L.Dense(2)(image)), 0.5)


@pytest.mark.parametrize(
    ("name", "least", "millions"), [("vgg16", 8, 138.4), ("resnet50", 12, 25.5), ("mobilenet", 12, 4.25)]
)
def test_families_are_the_networks_they_are_called_after(name, least, millions):
    first, last, step = FAMILIES[name].widths
    widths = parse_widths(f"{first}:{last}:{step}")
    assert len(widths) == least
    model = FAMILIES[name].build(1.0)
    assert model.count_params() / 1e6 == pytest.approx(millions, rel=0.01)
    assert FAMILIES[name].build(widths[0]).count_params() < 0.2 * model.count_params()


@pytest.mark.parametrize("text", ["", "a", "1:2", "1:2:0", "0,1", "-1", "1:0.5:0.25", "nan", "1:inf:1"])
def test_widths_that_are_none(text):
    with pytest.raises(UsageError, match="widths"):
        parse_widths(text)


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path):
    said = []

    def stopping(text):
        said.append(text)
        if text.startswith("round 1"):
            raise KeyboardInterrupt

    def run(report):
        return fdi.sweep(
            [small()],
            [0.5, 1.0],
            seconds=0.1,
            folder=tmp_path,
            report=report,
            profile=counting_profile("flops"),
        )

    with pytest.raises(KeyboardInterrupt):
        run(stopping)
    before = (tmp_path / "sweep.jsonl").read_bytes()
    said.clear()
    rows = run(said.append)
    assert not any("built" in text for text in said)
    assert (tmp_path / "sweep.jsonl").read_bytes().startswith(before)
    assert [row.name for row in rows] == ["small 0.5", "small 1"]
    assert rows[0].flops < rows[1].flops
    for row in rows:
        assert row.measured_ms > 0
        assert row.predicted_ms == pytest.approx(row.flops / 1e6)
        assert sum(kind["flops"] for kind in row.kinds.values()) == pytest.approx(row.flops)
        assert row.cache_misses is None
    assert json.loads(json.dumps(rows[0].to_dict()))["multiplier"] == 0.5


def test_wrong_models():
    with pytest.raises(UsageError, match="at least one"):
        fdi.sweep([])
    with pytest.raises(ModelFileError, match="family: vgg16"):
        fdi.sweep(["vgg19"])
    with pytest.raises(UsageError, match="received int"):
        fdi.sweep([3])


def networks(time_of, count=12, seed=0):
    """Two families, the second of which moves more bytes for its FLOPs."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        flops = float(np.exp(rng.uniform(18, 22)))
        heavy = i % 2
        row = Swept("heavy" if heavy else "light", i + 1.0, flops, flops / (10 if heavy else 80), flops / 1e3)
        found.append(replace(row, measured_ms=time_of(row)))
    return found


def test_two_terms_explain_what_two_terms_make():
    rows = networks(lambda row: 0.1 + row.flops / 1e8 + row.memory_bytes / 1e7)
    by_terms = {fit.terms: fit for fit in fits(rows)}
    both = by_terms["flops", "memory_bytes"]
    assert both.mape < 0.001
    assert by_terms[("flops",)].mape > 0.1
    assert both.constant_ms == pytest.approx(0.1, rel=0.01)
    assert both.ms_per_unit == pytest.approx((1e-8, 1e-7), rel=0.01)
    assert "together they explain the time better" in answer(rows)[0]
    assert correlations(rows)["flops"].linear < 1


def test_one_term_is_enough_where_it_is_all():
    rows = networks(lambda row: row.flops / 1e8)
    assert {fit.terms: fit for fit in fits(rows)}[("flops",)].mape < 1e-6
    assert "do not explain" in answer(rows)[0]
    assert correlations(rows)["flops"].rank == pytest.approx(1)


def test_pairs_of_equal_flops():
    a = Swept("one", 1.0, 1e9, 1e7, 1e6, measured_ms=10.0, kinds={"conv2d": {"predicted_ms": 9.0}})
    b = Swept("two", 1.0, 1.05e9, 3e7, 1e6, measured_ms=25.0, kinds={"conv2d": {"predicted_ms": 21.0}})
    c = Swept("two", 2.0, 4e9, 9e7, 1e6, measured_ms=80.0)
    (pair,) = equal_pairs([a, b, c])
    assert (pair.slower, pair.faster) == (b, a)
    assert pair.times_as_long == 2.5
    assert pair.memory_ratio == 3
    with pytest.raises(UsageError, match="at least 4"):
        fits([a, b, c])
    d = replace(c, family="one", measured_ms=70.0)
    assert "takes 2.50 times as long as one 1" in " ".join(answer([a, b, c, d]))
    assert "conv2d +12 ms" in " ".join(answer([a, b, c, d]))


def test_pictures_and_a_page(tmp_path):
    rows = networks(lambda row: row.flops / 1e8)
    rows[0] = replace(rows[0], family="<b>")
    names = {path.stem for path in write_pictures(rows, tmp_path)}
    assert names == {"flops-time", "memory-time", "flops-memory", "flops-parameters"}
    for name in names:
        drawn = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        assert drawn.tag.endswith("svg")
    first = (tmp_path / "flops-time.svg").read_text()
    write_pictures(rows, tmp_path)
    assert (tmp_path / "flops-time.svg").read_text() == first, "the same data make the same file"
    page = html_page(rows, "a <device>")
    assert "a &lt;device&gt;" in page
    assert "&lt;b&gt; 1" in page
    assert page.count("<svg") == 4


def test_roofs_are_what_probes_reached():
    profile = fdi.load_profile("x86-avx512-litert")
    roofs = roofline_of(profile)
    assert 20e9 < roofs.flops_per_s < 1e12
    assert 2e9 < roofs.bytes_per_s < roofs.near_bytes_per_s < 2e12
    wide = operator("conv2d", height=28, width=28, in_channels=256, out_channels=256, kernel=3)
    passing = operator("add", height=112, width=112, channels=64)
    assert roofs.place(wide).bound == "compute"
    assert roofs.place(passing).bound == "memory"
    place = roofs.place(passing)
    assert place.roof_ms == pytest.approx(1e3 * memory_access(passing) / roofs.bytes_per_s)
    # Nearly everything takes longer than its roof.
    for kind in ("conv2d", "add"):
        table = profile.measurements[kind]
        times = table.times_ms(profile.overhead_ms)
        rows = np.random.default_rng(0).permutation(len(times))[:100]
        dims = [{name: int(table.dims[name][row]) for name in KINDS[kind].dimensions} for row in rows]
        ratios = [
            roofs.place(Operator(kind, each)).roof_ms / times[row]
            for each, row in zip(dims, rows, strict=True)
        ]
        assert np.mean(np.array(ratios) <= 1.05) > 0.9
    with pytest.raises(UsageError, match="too few measurements"):
        roofline_of(counting_profile("flops"))
