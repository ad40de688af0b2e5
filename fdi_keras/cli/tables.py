"""How every table of the command line looks."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table


def new_table(**options: Any) -> Table:
    """An empty table: a line under its heads, no frame, so that 80 columns hold much."""
    settings: dict[str, Any] = {
        "box": box.SIMPLE_HEAD,
        "header_style": "bold",
        "pad_edge": False,
        "title_justify": "left",
        "title_style": "bold",
        "caption_justify": "left",
        "caption_style": "dim",
    }
    return Table(**{**settings, **options})
