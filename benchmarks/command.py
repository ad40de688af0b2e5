"""The command line of every benchmark: the same options, with the same meaning.

``python -m benchmarks.NAME`` runs the parts that have no rows in their results yet, writes each part's
rows when it is done, and ends with the table of all rows and what failed. Started again it goes on with
what is missing; ``--again`` measures anew.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.report import Report

RESULTS = Path(__file__).parent / "results"


def _no_options(parser: argparse.ArgumentParser) -> None:
    """Those of all benchmarks are enough."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark and its parts.

    Attributes:
        name: of its package in this folder, and of its results.
        text: what ``--help`` says of it.
        parts: modules of the package by number; each has ``run(settings)``, which returns its rows.
        settings: makes what the parts are given from the parsed options. Those have ``work``, an absolute
            path of a folder that is there, and ``again``.
        options: adds options that only this benchmark has.
        work: where profiles, journals and models stay for other parts and later runs, unless ``--work``
            names another folder. None: in a temporary folder, nothing stays.
    """

    name: str
    text: str
    parts: Mapping[str, str]
    settings: Callable[[argparse.Namespace], Any]
    options: Callable[[argparse.ArgumentParser], None] = _no_options
    work: Path | None = None

    def parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{self.name}",
            description=self.text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument(
            "--parts",
            nargs="+",
            choices=list(self.parts),
            default=list(self.parts),
            metavar="N",
            help="which parts to run, as in --parts 1 3; all when left out",
        )
        parser.add_argument("--again", action="store_true", help="measure parts anew that have results")
        parser.add_argument(
            "--results",
            type=Path,
            default=RESULTS / f"{self.name}.json",
            metavar="FILE",
            help="written as they come",
        )
        if self.work is not None:
            parser.add_argument(
                "--work", type=Path, default=self.work, metavar="FOLDER", help="profiles, journals, models"
            )
        self.options(parser)
        return parser

    def run(self, words: Sequence[str] | None = None) -> int:
        """Do what the command line says.

        Args:
            words: of the command line; those of this process when left out.

        Returns:
            The exit status: 1 when a row of the results, kept ones included, failed.
        """
        options = self.parser().parse_args(words)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        report = Report(options.results)
        with self._folder(options):
            settings = self.settings(options)
            for number in dict.fromkeys(options.parts):
                report.part(number, lambda number=number: self._part(number).run(settings), options.again)
        report.print()
        return int(any(row.passed is False for row in report.rows))

    def _part(self, number: str) -> Any:
        # Only when it runs: kept parts need neither keras nor a terminal.
        return import_module(f"benchmarks.{self.name}.{self.parts[number]}")

    @contextlib.contextmanager
    def _folder(self, options: argparse.Namespace) -> Iterator[None]:
        if self.work is None:
            with tempfile.TemporaryDirectory(prefix=f"fdi-{self.name}-") as folder:
                options.work = Path(folder)
                yield
        else:
            options.work = options.work.resolve()
            options.work.mkdir(parents=True, exist_ok=True)
            yield
