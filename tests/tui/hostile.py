"""Events as nobody's program should write them: the right names, with values of any kind and size."""

import json

from hypothesis import strategies as st

#: Numbers on which sums, ratios and whole numbers fail, and what only looks like one.
AWKWARD = (0, -1, 1, 3, 0.5, -0.0, 1e-300, 1e18, 1e308, -1e308, 2**31, 2**63, 2**64, 10**30, 10**320, 1795195600.0,
           253402300800, True, None, "3", [], {}, [1], {"a": 1})  # fmt: skip
TEXTS = (
    "",
    "a",
    "conv2d",
    "relu",
    "local",
    "[red]x[/]",
    "\x1b[2J",
    "\u202e",
    "\x00",
    "é" * 300,
    "\n",
    "a: 7 -> 8, 1 ms: x",
)

json_values = st.recursive(
    st.sampled_from(AWKWARD) | st.sampled_from(TEXTS) | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(TEXTS) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
widths = st.dictionaries(
    st.sampled_from(("a", "b", "c")),
    st.sampled_from(AWKWARD)
    | st.fixed_dictionaries({"width": st.sampled_from(AWKWARD), "kept": json_values}),
    max_size=3,
)
dims = st.dictionaries(
    st.sampled_from(("height", "channels", "in_features", "x")), st.sampled_from(AWKWARD), max_size=4
)
plan = st.fixed_dictionaries(
    {},
    optional={
        "kinds": st.just(["relu", "dense"]) | json_values,
        "measurements": st.sampled_from(AWKWARD),
        "minutes": st.sampled_from(AWKWARD),
        "design_version": st.sampled_from((1, 2, 3, "x")),
    },
)
#: By the name of a field, where just anything would seldom be understood at all.
OWN = {
    "spaces": widths,
    "widths": widths,
    "dims": dims,
    "plan": plan,
    "kind": st.sampled_from(("relu", "dense", "no such kind")),
    "index": st.integers(0, 5),
    "metrics": st.dictionaries(
        st.sampled_from(("accuracy", "loss", "x")), st.sampled_from(AWKWARD), max_size=2
    ),
}


def fields(names):
    """Some of these fields, each with something that may be meant or with anything at all."""
    return st.fixed_dictionaries(
        {}, optional={name: OWN.get(name, json_values) | json_values for name in names}
    )


def events(names, of):
    """Events of these names with some of these fields, as the lines of a journal."""
    return st.builds(
        lambda name, told: json.dumps({"event": name, **told}, separators=(",", ":")).encode(),
        st.sampled_from(names),
        fields(of),
    )


def journal(kind, names, of):
    """A whole journal, as bytes."""
    first = st.builds(
        lambda told: json.dumps({**told, "event": "started", "schema_version": 1, "kind": kind}).encode(),
        fields([name for name in of if name != "kind"]),
    )
    return st.builds(
        lambda head, rest: b"\n".join([head, *rest, b""]), first, st.lists(events(names, of), max_size=8)
    )


def written(columns, rows):
    """Every cell of a table, as text; whatever fails there fails here."""
    return [
        (column.text(value) if column.text else str(value), column.style(value) if column.style else "")
        for row in rows
        for column in columns
        if (value := row.get(column.key)) is not None
    ]
