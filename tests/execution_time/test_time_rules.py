import msgspec
import pytest

from fdi_keras.execution_time import Condition, HeldOutError, Leaf, Split, TimeModel, Tree, describe_rules
from fdi_keras.execution_time.rules import conditions_text, formula_text
from fdi_keras.operators.kinds import EXPLANATORY, get_kind

FEATURES = list(get_kind("conv2d").features)


def above(feature, value):
    return Condition(feature, "above", value)


def multiple(feature, value):
    return Condition(feature, "multiple", value)


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ((), []),
        (((above("out_channels", 16.5), True),), ["out_channels > 16"]),
        (((above("out_channels", 16.5), False),), ["out_channels <= 16"]),
        (((above("out_channels", 16.0), True),), ["out_channels > 16"]),
        (((above("out_channels", 16.5), True), (above("out_channels", 32.5), True)), ["out_channels > 32"]),
        (
            ((above("out_channels", 64.5), False), (above("out_channels", 32.5), False)),
            ["out_channels <= 32"],
        ),
        (
            ((above("out_channels", 64.5), False), (above("out_channels", 16.5), True)),
            ["16 < out_channels <= 64"],
        ),
        (((above("kernel", 2.5), True), (above("kernel", 3.5), False)), ["kernel = 3"]),
        (((multiple("out_channels", 16.0), True),), ["out_channels multiple of 16"]),
        (((multiple("out_channels", 4.0), False),), ["out_channels not a multiple of 4"]),
        (
            ((multiple("out_channels", 4.0), True), (multiple("out_channels", 16.0), True)),
            ["out_channels multiple of 16"],
        ),
        (
            ((multiple("out_channels", 16.0), False), (multiple("out_channels", 4.0), False)),
            ["out_channels not a multiple of 4"],
        ),
        (
            ((multiple("out_channels", 4.0), True), (multiple("out_channels", 16.0), False)),
            ["out_channels multiple of 4", "out_channels not a multiple of 16"],
        ),
        (((above("flops", 3.2e6), True),), ["flops > 3.2 MFLOP"]),
        (((above("flops", 2e9), False),), ["flops <= 2 GFLOP"]),
        (((above("flops", 512.0), False),), ["flops <= 512 FLOP"]),
        (((above("memory_in", 12e3), True),), ["memory_in > 12 KB"]),
        (
            ((above("memory_in", 12345.5), True), (above("memory_in", 1.5e6), False)),
            ["12.3 KB < memory_in <= 1.5 MB"],
        ),
        (((above("parameters", 12500.0), True),), ["parameters > 12.5 thousand"]),
        (((above("parameters", 100.5), True),), ["parameters > 100"]),
        (
            (
                (above("kernel", 1.5), False),
                (multiple("out_channels", 16.0), True),
                (above("out_channels", 16.5), True),
            ),
            ["out_channels > 16", "out_channels multiple of 16", "kernel <= 1"],
        ),
    ],
)
def test_conditions_in_words(path, texts):
    assert conditions_text(path, FEATURES) == texts


@pytest.mark.parametrize(
    ("intercept", "weights", "text"),
    [
        (0.0, {}, "0 us"),
        (0.0009, {}, "0.9 us"),
        (0.0, {"flops": 8.71234e-9}, "8.71 us a MFLOP"),
        (1.5, {"flops": 2e-6}, "1.5 ms + 2 ms a MFLOP"),
        (0.9997, {}, "1 ms"),
        (0.9994, {}, "999 us"),
        (12345.6, {}, "12300 ms"),
        (1e-8, {"memory_in": 0.0}, "0.01 ns"),
        (0.0, {"memory_out": 5e-8, "memory_internal": 2e-8}, "0.05 us a KB written + 0.02 us a KB internal"),
        (0.0, {"parameters": 1.2e-6}, "1.2 us a thousand parameters"),
        (0.0, {"flops@16": 2e-9}, "2 us a MFLOP in blocks of 16 channels"),
    ],
)
def test_formula_in_words(intercept, weights, text):
    assert formula_text(Leaf(intercept, weights, samples=1, mape=0.0)) == text


def test_rules_of_a_model():
    full = Leaf(
        0.0009,
        {
            "flops": 8.7e-9,
            "memory_in": 1.1e-7,
            "memory_out": 5e-8,
            "memory_internal": 2e-8,
            "parameters": 1.2e-6,
        },
        samples=31,
        mape=0.021,
    )
    other = Leaf(0.002, {}, samples=12, mape=0.1)
    narrow = Split(above("kernel", 1.5), yes=other, no=full)
    root = Split(
        above("out_channels", 16.5), yes=Split(multiple("out_channels", 16.0), yes=narrow, no=other), no=other
    )
    model = TimeModel(
        kind="conv2d",
        form="paper",
        tree=Tree(FEATURES, list(EXPLANATORY), root),
        ranges={},
        error=HeldOutError(0.05, 0.5, 0.9, 5, 100),
    )
    rules = describe_rules(model)
    assert rules[1].text == (
        "out_channels > 16 and out_channels multiple of 16 and kernel <= 1: "
        "0.9 us + 8.7 us a MFLOP + 0.11 us a KB read + 0.05 us a KB written + 0.02 us a KB internal "
        "+ 1.2 us a thousand parameters"
    )
    assert rules[3].text == "out_channels <= 16: 2 us"
    assert (rules[1].samples, rules[1].mape, rules[1].intercept_ms) == (31, 0.021, 0.0009)
    assert msgspec.json.decode(msgspec.json.encode(rules[1]))["weights"]["flops"] == 8.7e-9


def test_a_leaf_without_conditions_is_always():
    tree = Tree(FEATURES, list(EXPLANATORY), Leaf(0.002, {}, samples=12, mape=0.1))
    model = TimeModel("conv2d", "paper", tree, {}, HeldOutError(0.05, 0.5, 0.9, 5, 100))
    assert [rule.text for rule in describe_rules(model)] == ["always: 2 us"]
