"""What a model remembers of its compression: which channels it kept, and its session's journal.

A pruned model is a plain Keras model with no class of ours inside, so this is kept
beside it, for as long as the object lives.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class History:
    """Attributes:
    journal: path of the session's journal, ``None`` when there is no session.
    kept: for each channel space the channels of the network before that are still there, ascending; none
        of a space that went with its branch.
    original: the same of the network that the first one of all these was made from; -1 for a channel
        that is new.
    """

    journal: str | None = None
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    original: dict[str, np.ndarray] = field(default_factory=dict)

    def write(self, event: str, **fields: Any) -> None:
        """Add an event to the session's journal, if there is one."""
        if self.journal is not None:
            from fdi_keras.journal import Journal

            with Journal(self.journal) as journal:
                journal.write(event, **fields)


_histories: weakref.WeakKeyDictionary[Any, History] = weakref.WeakKeyDictionary()


def history_of(model: Any) -> History:
    """The history of a model; an empty one when nothing is known of it."""
    return _histories.setdefault(model, History())


def has_history(model: Any) -> bool:
    """Whether anything is known of a model."""
    try:
        return model in _histories
    except TypeError:  # paths and file contents are no models
        return False


def inherit(
    model: Any,
    parent: Any,
    kept: dict[str, np.ndarray] | None = None,
    of: Any = None,
    renamed: dict[str, str] | None = None,
) -> History:
    """Give ``model`` the session of ``parent``, and the channels it kept of ``of``, by default the parent too.

    Args:
        renamed: spaces of ``of`` that have another name in ``model``, by their old one.
    """
    kept = kept or {}
    before = history_of(parent if of is None else of).original
    before = {(renamed or {}).get(name, name): channels for name, channels in before.items()}
    original = before | {
        name: _composed(before.get(name), np.asarray(channels)) for name, channels in kept.items()
    }
    history = History(history_of(parent).journal, kept, original)
    _histories[model] = history
    return history


def _composed(before: np.ndarray | None, channels: np.ndarray) -> np.ndarray:
    """Channels of a network as channels of that before it; -1 where they are new."""
    if before is None:
        return channels
    known = np.append(before, -1)
    return known[np.where(channels < len(before), channels, len(before))]
