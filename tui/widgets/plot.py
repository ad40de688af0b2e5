"""A plot that redraws on new data only: several series on one pair of axes, marks, a cursor, zoom.

Drawn here and not by a plotting package: rows are cached strips, so that a key pressed beside a
plot that did not change costs nothing, the lines differ without colors too, and where Braille
cannot be shown the same plot is drawn with letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from fdi_tui.keys import bindings
from fdi_tui.widgets.picture import COLORS, Drawing, Mark, Part, Picture, Series, moved, reach
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget


class Plot(Widget, can_focus=True):
    """The plot, with the keys of the group "plot".

    Args:
        whole: x counts something, channels for instance.
        y_text: how a value of y is written; None for plain numbers.
        x_name: what x is.
        y_name: head of y in exports, with its unit.
        zero: let the y axis begin at zero unless all values are far from it.
        logarithmic: x and y are given as logarithms to base 10; what is read and exported is what they are of.
        ascii: letters instead of Braille.
    """

    BINDINGS = bindings("plot")
    GROUP = "plot"
    HELP = (
        "A plot. The cursor reads values, which then stand beside the names above; zooming goes towards it. "
        "With the mouse: click and wheel."
    )

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"plot--series-{number}" for number in range(COLORS)),
        "plot--axis",
        "plot--legend",
        "plot--mark",
        "plot--faint-mark",
        "plot--cursor",
    }

    DEFAULT_CSS = """
    Plot {
        height: 1fr;
        width: 1fr;
        min-height: 4;
        color: $foreground;
        &:focus { background: $boost; }
        & > .plot--series-0 { color: $primary; }
        & > .plot--series-1 { color: $warning; }
        & > .plot--series-2 { color: $success; }
        & > .plot--series-3 { color: $accent; }
        & > .plot--series-4 { color: $error; }
        & > .plot--series-5 { color: $secondary; }
        & > .plot--axis { color: $text-muted; }
        & > .plot--legend { color: $foreground; }
        & > .plot--mark { color: $text-success; text-style: bold; }
        & > .plot--faint-mark { color: $text-muted; }
        & > .plot--cursor { text-style: reverse; }
    }
    """

    ascii = reactive(False)

    class Viewed(Message):
        """Another part of the x axis is shown."""

        def __init__(self, plot: Plot, left: float, right: float):
            super().__init__()
            self.plot, self.left, self.right = plot, left, right

        @property
        def control(self) -> Plot:
            return self.plot

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Plot.Viewed) and message.plot is self.plot

    class Moved(Message):
        """The cursor stands at another x."""

        def __init__(self, plot: Plot, x: float):
            super().__init__()
            self.plot, self.x = plot, x

        @property
        def control(self) -> Plot:
            return self.plot

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Plot.Moved) and message.plot is self.plot

    def __init__(
        self,
        title: str = "",
        *,
        x_name: str = "",
        y_name: str = "y",
        y_text: Callable[[float], str] | None = None,
        whole: bool = False,
        zero: bool = True,
        logarithmic: bool = False,
        ascii: bool = False,
        empty: str = "no data yet",
        id: str | None = None,
        classes: str | None = None,
    ):
        super().__init__(id=id, classes=classes)
        self.title, self.x_name, self.y_name, self.empty = title, x_name, y_name, empty
        self.series: list[Series] = []
        self.marks: list[Mark] = []
        self.cursor: float | None = None
        self._y_text, self._whole, self._zero, self._logarithmic = y_text, whole, zero, logarithmic
        self._limits: tuple[float, float] | None = None
        self._zoom: tuple[float, float] | None = None
        self._version = 0
        self._drawn = Drawing([])
        self._strips: list[Strip] = []
        self._drawn_for: Any = None
        self.set_reactive(Plot.ascii, ascii)

    # What is shown

    def show(
        self,
        series: Sequence[Series],
        marks: Sequence[Mark] = (),
        *,
        title: str | None = None,
        x_name: str | None = None,
        limits: tuple[float, float] | None = None,
    ) -> None:
        """Show other data; zoom and cursor stay where they are.

        Args:
            series: in the order of the legend; the last is drawn on top.
            marks: above them.
            title, x_name: None leaves them.
            limits: how far one can zoom out, where that is more than the series reach.
        """
        self.series, self.marks = list(series), list(marks)
        self.title = self.title if title is None else title
        self.x_name = self.x_name if x_name is None else x_name
        self._limits = limits
        self._changed()

    def speak(self, y_text: Callable[[float], str] | None) -> None:
        """Write values of y otherwise; None for plain numbers."""
        self._y_text = y_text

    def reset(self) -> None:
        """Forget zoom and cursor: what comes next is something else."""
        self._zoom = self.cursor = None
        self._changed()

    @property
    def limits(self) -> tuple[float, float]:
        """From where to where one can look."""
        return reach(self.series, self._limits)

    @property
    def window(self) -> tuple[float, float]:
        """The part of the x axis that is shown."""
        return self._zoom or self.limits

    def look_at(self, left: float, right: float) -> None:
        """Show this part of the x axis."""
        low, high = self.limits
        least = 4.0 if self._whole else (high - low) * 1e-6
        span = min(max(right - left, least), high - low)
        left = min(max(left, low), high - span)
        self._zoom = None if span >= high - low else (left, left + span)
        self._changed()
        self.post_message(self.Viewed(self, *self.window))

    def values_at(self, x: float) -> list[tuple[str, float, float]]:
        """Name, x and y of the point of every line that is nearest to ``x``."""
        return self._picture().values_at(x)

    def copied(self) -> str:
        """The values under the cursor, or of all that is shown, tabs between them."""
        if self.cursor is None:
            return "\n".join("\t".join(map(str, row)) for row in self.exported()[1])
        return "\n".join(
            f"{name}\t{self._real(x):g}\t{self._real(y):.6g}" for name, x, y in self.values_at(self.cursor)
        )

    def exported(self) -> tuple[str, list[list[Any]]]:
        """Name and rows of what is shown: series, x, y."""
        rows: list[list[Any]] = [["series", self.x_name or "x", self.y_name]]
        left, right = self.window
        for series in self.series:
            pairs = zip(series.x.tolist(), series.y.tolist(), strict=True)
            rows += [[series.name, self._real(x), self._real(y)] for x, y in pairs if left <= x <= right]
        return "plot", rows

    def _real(self, value: float) -> float:
        return 10**value if self._logarithmic else value

    # What keys do

    def action_cursor_right(self) -> None:
        self.move_cursor(1)

    def action_cursor_left(self) -> None:
        self.move_cursor(-1)

    def action_far_right(self) -> None:
        self.move_cursor(10)

    def action_far_left(self) -> None:
        self.move_cursor(-10)

    def action_zoom_in(self) -> None:
        self.zoom(0.5)

    def action_zoom_out(self) -> None:
        self.zoom(2.0)

    def action_fit(self) -> None:
        """Show all, without a cursor."""
        self.point_at(None)
        self.look_at(*self.limits)

    def action_pan_left(self) -> None:
        self.pan(-0.5)

    def action_pan_right(self) -> None:
        self.pan(0.5)

    def move_cursor(self, points: int) -> None:
        """Move the cursor by so many points of the first line."""
        lines = [s for s in self.series if s.style != "dots" and len(s.x)]
        if not lines:
            return
        self.point_at(moved(lines[0].x, self.cursor, points, self.window))

    def zoom(self, factor: float) -> None:
        """Show a part ``factor`` times as wide, around the cursor or the middle."""
        left, right = self.window
        at_cursor = self.cursor is not None and left <= self.cursor <= right
        middle = self.cursor if at_cursor and self.cursor is not None else (left + right) / 2
        share = (middle - left) / (right - left)
        span = (right - left) * factor
        self.look_at(middle - share * span, middle + (1 - share) * span)

    def pan(self, share: float) -> None:
        """Move what is shown by a share of its width."""
        left, right = self.window
        self.look_at(left + share * (right - left), right + share * (right - left))

    def point_at(self, x: float | None) -> None:
        """Put the cursor at ``x``, bringing it into view; None takes it away."""
        self.cursor = x
        if x is not None:
            left, right = self.window
            if not left <= x <= right:
                self.look_at(x - (right - left) / 2, x + (right - left) / 2)
            self.post_message(self.Moved(self, x))
        self._changed()

    def on_click(self, event: events.Click) -> None:
        column = event.get_content_offset_capture(self).x - self._drawn.margin
        if 0 <= column < self._drawn.columns and self.series:
            left, right = self._drawn.view[:2]
            at = left + (right - left) * column / max(self._drawn.columns - 1, 1)
            nearest = [x for _, x, _ in self.values_at(at)]
            self.point_at(min(nearest, key=lambda x: abs(x - at), default=None))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.zoom(1.25)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.zoom(0.8)

    # Drawing

    def watch_ascii(self) -> None:
        self._changed()

    def _changed(self) -> None:
        self._version += 1
        self.refresh()

    def render_line(self, y: int) -> Strip:
        size = self.content_size
        wanted = (self._version, size, self.ascii, self.app.theme, self.has_focus, self.rich_style)
        if wanted != self._drawn_for:
            self._drawn_for = wanted
            self._drawn = self._picture().draw(size.width, size.height)
            self._strips = [self._strip(line, size.width) for line in self._drawn.lines]
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(size.width, self.rich_style)

    def _picture(self) -> Picture:
        return Picture(
            self.series, self.marks, self.title, self.x_name, self.window, self.cursor,
            self._y_text, self._whole, self._zero, self._logarithmic, self.ascii, self.empty,
        )  # fmt: skip

    def _strip(self, parts: Sequence[Part], width: int) -> Strip:
        base = self.rich_style
        segments = [Segment(text, self._rich(name, base)) for text, name in parts if text]
        return Strip(segments).adjust_cell_length(width, base).crop(0, width)

    def _rich(self, name: str, base: RichStyle) -> RichStyle:
        return base + self.get_component_rich_style(name, partial=True) if name else base
