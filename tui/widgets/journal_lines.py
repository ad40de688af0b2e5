"""The end of a journal itself, line by line, as it stands in its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fdi_tui.widgets.table import Column, RowTable

#: Of the file, from its end.
END_BYTES = 64 << 10
#: Of a line.
LONGEST = 2000


class JournalLines(RowTable):
    """The last lines of a journal, the newest at the bottom."""

    HELP = "The end of the journal as it stands in its file. e writes it to a CSV file."

    def __init__(self, id: str | None = None):
        super().__init__([Column("line", "journal")], name_of_export="journal", id=id)
        self._read: Any = None

    def show(self, path: Path) -> None:
        """Show the end of a journal; reads it only when it changed."""
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if (path, size) == self._read:
                    return
                begin = max(size - END_BYTES, 0)
                file.seek(begin)
                content = file.read(END_BYTES)
        except OSError as error:
            self.show_rows({"0": {"line": f"{path} cannot be read: {error.strerror}"}})
            return
        at_end = self.chosen is None or self.cursor_row >= self.row_count - 1
        self._read = (path, size)
        rows, place = {}, begin
        for number, line in enumerate(content.split(b"\n")):
            if line and not (number == 0 and begin):
                rows[str(place)] = {"line": line[:LONGEST].decode("utf-8", "replace")}
            place += len(line) + 1
        self.show_rows(rows)
        if at_end and rows:
            self.move_cursor(row=len(rows) - 1, animate=False)
