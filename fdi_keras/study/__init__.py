"""What FLOPs do not explain: networks at many widths, what they compute and move, and how long they take.

Names load on first use: a roofline needs no keras.
"""

from __future__ import annotations

from typing import Any

_HOMES = {
    "EqualPair": "explain",
    "Fit": "explain",
    "Roofline": "roofline",
    "Swept": "network",
    "SweptOperator": "network",
    "correlations": "explain",
    "difference": "difference",
    "equal_pairs": "explain",
    "fits": "explain",
    "roofline_of": "roofline",
    "sweep": "swept",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
