import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.execution_time import Condition, Leaf, Split, Tree
from fdi_keras.execution_time.tree import renamed

FEATURES = ["width", "kernel", "flops", "memory"]
LINEAR = ["flops", "memory"]

numbers = st.floats(0, 1e6, allow_nan=False)
leaves = st.builds(
    Leaf,
    intercept=numbers,
    weights=st.dictionaries(st.sampled_from(LINEAR), numbers),
    samples=st.integers(1, 99),
    mape=st.floats(0, 1),
)
conditions = st.one_of(
    st.builds(Condition, feature=st.sampled_from(FEATURES), test=st.just("above"), value=st.floats(0, 60)),
    st.builds(
        Condition,
        feature=st.sampled_from(FEATURES),
        test=st.just("multiple"),
        value=st.integers(1, 9).map(float),
    ),
)
roots = st.recursive(
    leaves,
    lambda nodes: st.builds(Split, condition=conditions, yes=nodes, no=nodes),
    max_leaves=12,
)
trees = roots.map(lambda root: Tree(features=FEATURES, linear=LINEAR, root=root))
X = np.random.default_rng(0).integers(0, 64, size=(60, 4)).astype(float)


@given(trees)
def test_json_keeps_every_prediction(tree):
    again = msgspec.json.decode(msgspec.json.encode(tree), type=Tree)
    assert again == tree
    np.testing.assert_array_equal(again.predict(X), tree.predict(X))


@given(trees)
def test_apply_follows_the_path_conditions(tree):
    leaf = tree.apply(X)
    for row, at in zip(X, leaf, strict=True):
        for condition, wanted in tree.leaves[at].path:
            assert condition.holds(row[FEATURES.index(condition.feature)]) == wanted


@given(trees)
def test_compiled_agrees_with_the_walk(tree):
    c = tree.compiled
    assert c.path.shape == (len(tree.leaves), len(c.value))
    holds = np.where(
        c.is_multiple, X[:, c.feature] % np.where(c.is_multiple, c.value, 1) == 0, X[:, c.feature] > c.value
    )
    agreement = np.where(holds, 1, -1) @ c.path.T
    reached = agreement == np.abs(c.path).sum(axis=1)
    assert (reached.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(reached.argmax(axis=1), tree.apply(X))
    expected = c.intercept + X[:, tree.linear_columns] @ c.weights.T
    np.testing.assert_allclose(tree.predict(X), expected[reached])


@given(trees)
def test_valid_trees_predict_no_negative_time(tree):
    tree.validate()
    assert (tree.predict(X) >= 0).all()


def test_a_single_leaf_has_no_conditions():
    tree = Tree(FEATURES, LINEAR, Leaf(1.0, {"flops": 2.0}, samples=3, mape=0.0))
    assert tree.compiled.path.shape == (1, 0)
    assert tree.apply(X).tolist() == [0] * len(X)
    np.testing.assert_allclose(tree.predict(X), 1 + 2 * X[:, 2])
    assert tree.predict(np.empty((0, 4))).shape == (0,)


def test_wrong_shape_says_what_was_expected():
    tree = Tree(FEATURES, LINEAR, Leaf(1.0, {}, samples=3, mape=0.0))
    with pytest.raises(
        ValueError, match=r"\(n, 4\) with columns width, kernel, flops, memory; got shape \(4,\)"
    ):
        tree.predict(np.zeros(4))


def test_renamed_leaves_the_rest():
    split = Split(
        Condition("x0", "above", 3.0), Leaf(1.0, {"x1": 2.0}, 5, 0.1), Leaf(2.0, {"x0": 1.0}, 5, 0.1)
    )
    tree = renamed(Tree(["x0", "x1"], ["x0", "x1"], split), {"x0": "width"})
    assert tree.features == tree.linear == ["width", "x1"]
    assert tree.root.condition.feature == "width"
    assert (tree.root.yes.weights, tree.root.no.weights) == ({"x1": 2.0}, {"width": 1.0})


GOOD = Leaf(1.0, {"flops": 2.0}, samples=3, mape=0.1)


def _split(condition, yes=GOOD, no=GOOD):
    return Tree(FEATURES, LINEAR, Split(condition, yes, no))


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        (_split(Condition("hight", "above", 3.0)), "$.root.condition.feature: "),
        (_split(Condition("width", "above", float("nan"))), "$.root.condition.value: "),
        (_split(Condition("width", "multiple", 0.0)), "$.root.condition.value: "),
        (
            _split(Condition("width", "above", 1.0), yes=Split(Condition("w", "above", 1.0), GOOD, GOOD)),
            "$.root.yes.condition.feature: ",
        ),
        (_split(Condition("width", "above", 1.0), no=Leaf(-1.0, {}, 3, 0.1)), "$.root.no.intercept: "),
        (Tree(FEATURES, LINEAR, Leaf(1.0, {"width": 1.0}, 3, 0.1)), "$.root.weights.width: "),
        (Tree(FEATURES, LINEAR, Leaf(1.0, {"flops": -1.0}, 3, 0.1)), "$.root.weights.flops: "),
        (Tree(FEATURES, LINEAR, Leaf(1.0, {"flops": float("inf")}, 3, 0.1)), "$.root.weights.flops: "),
        (Tree(FEATURES, LINEAR, Leaf(1.0, {}, -3, 0.1)), "$.root.samples: "),
        (Tree(FEATURES, LINEAR, Leaf(1.0, {}, 3, -0.1)), "$.root.mape: "),
        (Tree(FEATURES, ["flop"], GOOD), "$.linear[0]: "),
        (Tree(["flops", "flops"], ["flops"], GOOD), "$.features[1]: "),
    ],
)
def test_validation_names_the_place(tree, place):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the text is compared in full below
        tree.validate()
    assert str(error.value).startswith(place)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        tree.validate("$.models.conv2d.tree")
    assert str(error.value).startswith(place.replace("$", "$.models.conv2d.tree"))
