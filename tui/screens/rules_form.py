"""The form that asks for all dimensions of an operator at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fdi_tui.widgets.panels import Field, Form

from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_keras.execution_time import TimeModel


def operator_form(model: TimeModel, dims: Mapping[str, int]) -> Form:
    """The form, with an operator to begin with and what was measured."""
    from fdi_tui.data.profiles import told_dimensions

    names = told_dimensions(model)
    fields = [Field(name, name, str(dims[name])) for name in names]
    ranges = ", ".join("{} {:g} to {:g}".format(name, *model.ranges[name]) for name in names)
    title = f"An operator of kind {model.kind}"
    return Form(title, fields, "Show", check=wrong_with_dims, note=f"Measured: {ranges}")


def wrong_with_dims(values: Mapping[str, str]) -> str:
    """What is wrong with dimensions as they were typed; empty when nothing is."""
    from fdi_keras.operators.kinds import CHOICES, MAY_BE_ZERO

    for name, text in values.items():
        least, most = (0 if name in MAY_BE_ZERO else 1), CHOICES.get(name, 1_000_001) - 1
        if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most or len(text) > 9:
            return f"{name} must be a whole number from {least} to {most}; received {clean(text, 30)!r}."
    return ""
