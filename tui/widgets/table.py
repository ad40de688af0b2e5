"""A table of rows with keys: filtered, sorted by value, updated cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fdi_tui.keys import bindings
from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.message import Message
from textual.widgets import DataTable

from fdi_keras.text import clean

#: No cell is longer (our choice); the whole text is in exports and details.
LONGEST_CELL = 120
#: Of more rows that come or go at once, all are filled in anew.
MOST_SINGLY = 60


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: its name in rows and exports.
        label: its head.
        text: how a value is shown; ``str`` when left out. None is shown as nothing.
        right: numbers stand to the right.
        style: rich style of a value; none when left out.
        wide: leave it out while the terminal has fewer columns than this.
    """

    key: str
    label: str
    text: Callable[[Any], str] | None = None
    right: bool = False
    style: Callable[[Any], str] | None = None
    wide: int = 0


class Cell(Text):
    """A cell that knows its row, by which rows are brought into an order of values."""

    row = ""


class RowTable(DataTable[Cell]):
    """A table whose rows are values by the key of their column.

    Args:
        columns: from left to right.
        name_of_export: first part of the name of an exported file.
        sort: column and direction at first; in the order given when left out.
        about: what its rows and columns are, for the help.
    """

    BINDINGS = bindings("table")
    GROUP = "table"

    DEFAULT_CSS = """
    RowTable { height: 1fr; background: $surface; }
    """

    class Chosen(Message):
        """The cursor came to a row, or its values changed."""

        def __init__(self, table: RowTable, key: str | None):
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> RowTable:
            return self.table

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RowTable.Chosen) and message.table is self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        name_of_export: str = "table",
        sort: tuple[str, bool] | None = None,
        about: str = "",
        id: str | None = None,
    ):
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, cell_padding=1)
        self.all_columns = list(columns)
        self._name_of_export = name_of_export
        self._sort = sort
        self.about = about
        self._filter: list[str] = []
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._shown: dict[str, tuple[Cell, ...]] = {}
        self._order: list[str] = []
        self._columns_now: list[Column] = []
        self._made: dict[str, tuple[Mapping[str, Any], tuple[Cell, ...]]] = {}

    # What rooms ask of it

    def show_rows(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Show these rows; only what differs from before is drawn again."""
        self._rows = dict(rows)
        self._update()

    @property
    def chosen(self) -> str | None:
        """Key of the row under the cursor."""
        return self._order[self.cursor_row] if 0 <= self.cursor_row < len(self._order) else None

    def choose(self, key: str) -> None:
        """Put the cursor on a row, if it is there."""
        if key in self._order:
            self.move_cursor(row=self._order.index(key))

    @property
    def keys_shown(self) -> list[str]:
        """Keys of the rows that pass the filter, in their order."""
        return list(self._order)

    def set_filter(self, text: str) -> None:
        """Show only rows in which every word of ``text`` is found, small and capital letters alike."""
        self._filter = text.lower().split()
        self._update()

    def copied(self) -> str:
        """The row under the cursor, tabs between its cells."""
        cells = self._shown.get(self.chosen or "")
        return "\t".join(cell.plain for cell in cells) if cells else ""

    def whole_row(self) -> str:
        """All of the row under the cursor, a line a column, uncut."""
        row = self._rows.get(self.chosen or "")
        if row is None:
            return ""
        told = [(column, row.get(column.key)) for column in self.all_columns]
        return "\n".join(
            f"{column.label or column.key}: {clean(column.text(value) if column.text else value, 4000)}"
            for column, value in told
            if value is not None and value != ""
        )

    def exported(self) -> tuple[str, list[list[Any]]]:
        """Name and rows as they are shown, with values and not their short texts."""
        heads = [column.key for column in self.all_columns]
        return self._name_of_export, [
            heads,
            *([self._rows[key].get(head) for head in heads] for key in self._order),
        ]

    def action_sort_next(self) -> None:
        keys = [column.key for column in self._columns_now]
        if keys:
            at = keys.index(self._sort[0]) if self._sort and self._sort[0] in keys else -1
            self._sort = (keys[(at + 1) % len(keys)], False)
            self._update()

    def action_sort_turn(self) -> None:
        if self._sort:
            self._sort = (self._sort[0], not self._sort[1])
            self._update()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        event.stop()
        key = str(event.column_key.value)
        self._sort = (key, not self._sort[1] if self._sort and self._sort[0] == key else False)
        self._update()

    # Its own

    def on_mount(self) -> None:
        self._set_columns()

    def on_resize(self) -> None:
        wanted = self._columns_that_fit()
        if wanted != self._columns_now:
            self._set_columns()
            self._update()

    def _columns_that_fit(self) -> list[Column]:
        return [column for column in self.all_columns if self.app.size.width >= column.wide]

    def _set_columns(self) -> None:
        self.clear(columns=True)
        self._shown, self._order, self._made = {}, [], {}
        self._columns_now = self._columns_that_fit()
        for column in self._columns_now:
            self.add_column(Text(column.label), key=column.key)

    def _update(self) -> None:
        if not self.is_attached or not self._columns_now:
            return
        chosen, at = self.chosen, self.cursor_row
        before = (chosen, self._shown.get(chosen or ""))
        made = {
            key: known if (known := self._made.get(key)) and known[0] == row else (row, self._cells(key, row))
            for key, row in self._rows.items()
        }
        self._made = made
        cells = {key: of_row for key, (_, of_row) in made.items()}
        order = self._ordered([key for key in cells if self._passes(cells[key])])
        self._heads()
        gone, new = set(self._order) - set(order), set(order) - set(self._order)
        if len(gone) + len(new) > MOST_SINGLY:
            self.clear()
            for key in order:
                self.add_row(*cells[key], key=key)
        else:
            for key in gone:
                self.remove_row(key)
            for key in order:
                if key in new:
                    self.add_row(*cells[key], key=key)
                elif self._shown[key] is not cells[key]:
                    self._update_row(key, cells[key])
            if new or [key for key in self._order if key not in gone] != order:
                place = {key: number for number, key in enumerate(order)}
                self.sort(self._columns_now[0].key, key=lambda cell: place[cell.row])
        self._order = order
        self._shown = {key: cells[key] for key in order}
        if chosen in self._shown:
            if order[self.cursor_row : self.cursor_row + 1] != [chosen]:
                self.move_cursor(row=order.index(chosen), animate=False)
        elif order:
            self.move_cursor(row=min(at, len(order) - 1), animate=False)
        if (self.chosen, self._shown.get(self.chosen or "")) != before:
            self.post_message(self.Chosen(self, self.chosen))

    def _update_column_widths(self, updated_cells: set[Any]) -> None:
        # DataTable measures a whole column anew for every cell that became shorter: with hundreds of
        # rows that holds the screen up for half a second. Cells here are one line of text.
        before = self._widths()
        for key in {cell.column_key for cell in updated_cells}:
            column = self.columns.get(key)
            if column is not None:
                widths = [cell.cell_len for cell in self.get_column(key)]
                column.content_width = max([column.label.cell_len, *widths])
        self._forget_drawings(before)
        self._require_update_dimensions = True

    def _update_dimensions(self, new_rows: Any) -> None:
        before = self._widths()
        super()._update_dimensions(new_rows)
        self._forget_drawings(before)

    def _widths(self) -> list[int]:
        return [column.content_width for column in self.ordered_columns]

    def _forget_drawings(self, before: list[int]) -> None:
        # Rows may have been drawn before their columns had these widths, and DataTable keeps drawings
        # until a cell changes.
        if before != self._widths():
            self._update_count += 1
            self.refresh()

    def _render_cell(
        self,
        row_index: int,
        column_index: int,
        base_style: Style,
        width: int,
        cursor: bool = False,
        hover: bool = False,
    ) -> list[list[Segment]]:
        # DataTable sends every cell through rich's console, and after any change all that are in sight:
        # that is most of the time of a table that follows a campaign. Cells here are one line of one style.
        key = self._order[row_index] if 0 <= row_index < len(self._order) else ""
        cells = self._shown.get(key, ())
        if not 0 <= column_index < len(cells):
            return super()._render_cell(row_index, column_index, base_style, width, cursor, hover)
        cell = cells[column_index]
        component, post = self._get_styles_to_render_cell(
            False, False, False, hover, cursor, self.show_cursor, self._show_hover_cursor,
            self.cursor_foreground_priority == "css", self.cursor_background_priority == "css",
        )  # fmt: skip
        style = base_style + component + self.app.console.get_style(cell.style) + post
        inside = max(width - 2 * self.cell_padding, 0)
        blank = " " * (inside - cell.cell_len)
        text = blank + cell.plain if cell.justify == "right" else cell.plain + blank
        if cell.cell_len > inside:
            text = set_cell_size(cell.plain, inside)
        padding = " " * self.cell_padding
        return [[Segment(f"{padding}{text}{padding}", style + _place(row_index, column_index))]]

    def _update_row(self, key: str, cells: tuple[Cell, ...]) -> None:
        for column, old, new in zip(self._columns_now, self._shown[key], cells, strict=True):
            if old != new or old.style != new.style:
                self.update_cell(key, column.key, new, update_width=len(new) != len(old))

    def _cells(self, key: str, row: Mapping[str, Any]) -> tuple[Cell, ...]:
        cells = []
        for column in self._columns_now:
            value = row.get(column.key)
            words = "" if value is None else column.text(value) if column.text else str(value)
            style = column.style(value) if column.style and value is not None else ""
            justify: Any = "right" if column.right else "left"
            cell = Cell(clean(words, LONGEST_CELL), style, justify=justify, no_wrap=True)
            cell.row = key
            cells.append(cell)
        return tuple(cells)

    def _passes(self, cells: Sequence[Text]) -> bool:
        if not self._filter:
            return True
        whole = "\t".join(cell.plain for cell in cells).lower()
        return all(word in whole for word in self._filter)

    def _ordered(self, keys: list[str]) -> list[str]:
        if self._sort is None:
            return keys
        name, turned = self._sort
        known = [key for key in keys if self._rows[key].get(name) is not None]
        unknown = [key for key in keys if self._rows[key].get(name) is None]
        known.sort(key=lambda key: _comparable(self._rows[key][name]), reverse=turned)
        return known + unknown

    def _heads(self) -> None:
        for column in self._columns_now:
            mark = ""
            if self._sort and self._sort[0] == column.key:
                mark = " v" if self._sort[1] else " ^"
            label = Text(column.label + mark, justify="right" if column.right else "left")
            head = self.columns.get(_column_key(self, column.key))
            if head is not None and head.label != label:
                head.label = label
                self._update_count += 1

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self.post_message(self.Chosen(self, self.chosen))


@lru_cache(maxsize=4096)
def _place(row: int, column: int) -> Style:
    """What a click on a cell is told about it."""
    return Style.from_meta({"row": row, "column": column})


def _column_key(table: RowTable, key: str) -> Any:
    return next((each for each in table.columns if each.value == key), None)


def _comparable(value: Any) -> tuple[int, Any]:
    """Numbers before texts, each among themselves: what comes from files may mix them."""
    if isinstance(value, bool | int | float):
        return (0, value)
    return (1, str(value).lower())
