"""Rows of a benchmark: what was required, what was measured, PASS or FAIL; written as they come."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One row of a benchmark's table."""

    part: str
    row: str
    required: str
    measured: str
    passed: bool | None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        return "reported" if self.passed is None else "PASS" if self.passed else "FAIL"


class Report:
    """Collects rows, keeps them on disk, and resumes: parts that are there are not run again.

    Args:
        path: the JSON file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows = self._on_disk()

    def part(self, name: str, run: Callable[[], list[Row]], again: bool = False) -> None:
        """Run one part unless its rows are there already."""
        if any(r.part == name for r in self.rows) and not again:
            print(f"part {name}: kept from before")
            return
        began = time.time()
        print(f"part {name} ...", flush=True)
        rows = run()
        for row in rows:
            row.details["seconds_of_part"] = round(time.time() - began, 1)
            print(f"  {row.verdict:<8} {row.row}: {row.measured} (required {row.required})", flush=True)
        # Read again: another process may have finished another part meanwhile.
        self.rows = [r for r in self._on_disk() if r.part != name] + rows
        self.save()

    def _on_disk(self) -> list[Row]:
        if not self.path.exists():
            return []
        return [
            Row(**{k: r[k] for k in Row.__dataclass_fields__})
            for r in json.loads(self.path.read_text())["rows"]
        ]

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": platform.processor() or platform.machine(),
            "rows": [{**asdict(r), "verdict": r.verdict} for r in sorted(self.rows, key=lambda r: r.part)],
        }
        self.path.write_text(json.dumps(content, indent=1, default=float) + "\n")

    def print(self) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table("part", "row", "required", "measured", "verdict", show_lines=False)
        for r in sorted(self.rows, key=lambda r: r.part):
            table.add_row(r.part, r.row, r.required, r.measured, r.verdict)
        Console(width=160, markup=False).print(table)
        failed = [r for r in self.rows if r.passed is False]
        print(f"{len(self.rows)} rows, {len(failed)} FAIL" + "".join(f"; {r.part} {r.row}" for r in failed))
