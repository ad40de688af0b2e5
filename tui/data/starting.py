"""From what a person types into a form to a command line, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping

DELEGATES = ("xnnpack", "none", "gpu", "nnapi")
PRECISIONS = ("float32", "float16")


def wrong_with(values: Mapping[str, str]) -> str:
    """What is wrong with the lines of the form of a new campaign; empty when nothing is.

    The command line checks again: this only answers at once.
    """
    minutes, budget = values.get("minutes", ""), values.get("budget", "")
    if minutes and budget:
        return "Give minutes or a number of measurements, not both."
    if minutes and not _positive(minutes):
        return f"Minutes: a number above 0 is expected; received {minutes!r}."
    for name, words in (("budget", "Measurements"), ("threads", "Threads")):
        text = values.get(name, "")
        if text and not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
            return f"{words}: a whole number from 1 on is expected; received {text!r}."
    for name, known in (("delegate", DELEGATES), ("precision", PRECISIONS)):
        text = values.get(name, "")
        if text and text not in known:
            return f"{name.capitalize()}: one of {', '.join(known)} is expected; received {text!r}."
    kinds = values.get("kinds", "")
    if kinds and kinds != "all":
        from fdi_keras.errors import UsageError
        from fdi_keras.profiling.design import check_kinds

        try:
            check_kinds([name.strip() for name in kinds.split(",") if name.strip()])
        except UsageError as error:
            return str(error)
    return ""


def profile_arguments(device: str, values: Mapping[str, str]) -> list[str]:
    """Arguments of ``fdi`` for a new campaign.

    >>> profile_arguments("local", {"kinds": "relu, dense", "minutes": "3", "threads": "1"})
    ['profile', '--device', 'local', '--minutes', '3', '--kinds', 'relu,dense']
    """
    words = ["profile", "--device", device]
    for name in ("minutes", "budget"):
        words += [f"--{name}", values[name]] if values.get(name) else []
    kinds = values.get("kinds", "")
    if kinds and kinds != "all":
        words += ["--kinds", ",".join(name.strip() for name in kinds.split(",") if name.strip())]
    usual = {"threads": "1", "delegate": "xnnpack", "precision": "float32", "cores": ""}
    for name, default in usual.items():
        value = values.get(name, default)
        words += [f"--{name}", value] if value and value != default else []
    return words


def _positive(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and number > 0
