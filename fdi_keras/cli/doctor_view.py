"""How the findings of ``fdi doctor`` look: a line each, and below it how to mend it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fdi_keras.cli.console import plain
from fdi_keras.cli.words import count
from fdi_keras.devices.adb.checks import Finding
from fdi_keras.devices.adb.doctor import Examination

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def print_examination(console: Console, examination: Examination) -> None:
    """This computer, then every phone, then one line with the sum."""
    _print_findings(console, "this computer", examination.host)
    for name, findings in examination.phones.items():
        _print_findings(console, name, findings)
    every = [*examination.host, *(each for findings in examination.phones.values() for each in findings)]
    numbers = {verdict: sum(each.verdict == verdict for each in every) for verdict in STYLES}
    console.print(
        Text.assemble(
            (count(numbers["problem"], "problem"), STYLES["problem" if numbers["problem"] else "ok"]),
            ", ",
            count(numbers["warning"], "warning"),
        )
    )


def _print_findings(console: Console, title: str, findings: Sequence[Finding]) -> None:
    console.print(plain(title, "bold"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column()
    grid.add_column(overflow="fold")
    for finding in findings:
        text = plain(finding.text)
        if finding.remedy:
            text.append("\n").append(plain(finding.remedy, "dim"))
        grid.add_row(Text(finding.verdict, STYLES[finding.verdict]), finding.check, text)
    console.print(Padding(grid, (0, 0, 1, 2)))
