"""Forms: what the leaves of a time model are linear in.

The form ``paper`` is that of Yao et al. (SenSys 2018, section 4): leaves are linear in
FLOPs, memory and parameters. This module is the one place where another form is added.
A form chooses the columns, perhaps by looking at the training rows, and names them so
that the name alone says how to compute the column again: the names stand in the profile,
and whoever reads it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.operators.kinds import EXPLANATORY, Kind

Dims = Mapping[str, Any]


def _no_column(kind: Kind, dims: Dims, name: str) -> np.ndarray:
    raise UsageError(f"{kind.name} has no column {name!r}; it has {', '.join(kind.features)}.")


def _never(kind: Kind, name: str) -> bool:
    return False


@dataclass(frozen=True)
class Form:
    """One way to choose the linear columns.

    Attributes:
        name: as in profiles.
        linear: kind, dims ``(n,)`` each and times ``(n,)`` in ms of the training rows, to
            the names of the columns that leaves are linear in.
        knows: kind and name, to whether the form can compute a column of that name which
            :attr:`Kind.features` lacks.
        column: kind, dims and name, to that column ``(n,)``.
    """

    name: str
    linear: Callable[[Kind, Dims, np.ndarray], tuple[str, ...]]
    knows: Callable[[Kind, str], bool] = _never
    column: Callable[[Kind, Dims, str], np.ndarray] = _no_column

    def features(self, kind: Kind, linear: Sequence[str]) -> tuple[str, ...]:
        """All columns of a model: those of the kind, then those that only this form has."""
        return (*kind.features, *(name for name in linear if name not in kind.features))

    def matrix(self, kind: Kind, dims: Dims, features: Sequence[str]) -> np.ndarray:
        """Feature matrix ``(n, len(features))``; dimensions left out take the kind's defaults.

        Raises:
            UsageError: for a dimension that is missing or unknown.
        """
        unknown = sorted(set(dims) - set(kind.dimensions))
        if unknown:
            raise UsageError(
                f"{kind.name} has no dimension {', '.join(unknown)}; it has {', '.join(kind.dimensions)}."
            )
        full = {**kind.defaults, **dims}
        missing = [d for d in kind.dimensions if d not in full]
        if missing:
            given = ", ".join(dims) or "no dimensions"
            raise UsageError(f"{kind.name} needs {', '.join(missing)}; given were {given}.")
        known = kind.matrix(full)
        position = {name: i for i, name in enumerate(kind.features)}
        return np.column_stack(
            [known[:, position[n]] if n in position else self.column(kind, full, n) for n in features]
        )


def get_form(name: str) -> Form:
    """The form of this name; UsageError lists the known ones."""
    try:
        return FORMS[name]
    except KeyError:
        raise UsageError(f"unknown form {name!r} of a time model; known are {', '.join(FORMS)}.") from None


FORMS: dict[str, Form] = {form.name: form for form in (Form("paper", lambda kind, dims, times: EXPLANATORY),)}
