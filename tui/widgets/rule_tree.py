"""The rules of a profile as a tree to walk: kinds, conditions, leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fdi_tui.keys import bindings
from rich.text import Text
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from fdi_keras.cli.words import error_style, percent

if TYPE_CHECKING:
    from fdi_tui.data.profiles import RuleNode

    from fdi_keras.execution_time import TimeModel


class Place(NamedTuple):
    """Where in the rules one stands: a kind, and a node of its tree."""

    kind: str
    node: RuleNode


class RuleTree(Tree[Place], inherit_bindings=False):
    """The tree; what is shown of it is folded and unfolded with the usual keys."""

    BINDINGS = bindings("tree")
    GROUP = "tree"
    HELP = (
        "The kinds of operators, below each its conditions, the side on which a condition holds first, and its "
        "rules. Beside a rule: measurements that it was fitted on, and their mean error."
    )

    DEFAULT_CSS = """
    RuleTree { background: $surface; scrollbar-size-horizontal: 1; padding: 0; }
    """

    class Stood(Message):
        """The cursor came to a place."""

        def __init__(self, tree: RuleTree, place: Place):
            super().__init__()
            self.tree, self.place = tree, place

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RuleTree.Stood)

    def __init__(self, id: str | None = None):
        super().__init__("", id=id)
        self.show_root = False
        self.guide_depth = 2
        self._models: Mapping[str, TimeModel] = {}
        self._trees: dict[str, RuleNode] = {}
        self._filter: list[str] = []

    def show_models(
        self, models: Mapping[str, TimeModel], trees: dict[str, RuleNode], kind: str = ""
    ) -> None:
        """Show the kinds of a profile, unfolded at one of them."""
        self._models, self._trees = models, trees
        self._rebuild(kind)

    @property
    def place(self) -> Place | None:
        """Where the cursor stands."""
        node = self.cursor_node
        return node.data if node is not None else None

    def go_to(self, kind: str, leaf: int | None = None) -> None:
        """Put the cursor on a kind, or on a leaf of it."""
        for top in self.root.children:
            if top.data is None or top.data.kind != kind:
                continue
            node = top
            while leaf is not None and node.data and not node.data.node.is_leaf:
                node.expand()
                below = [c for c in node.children if c.data and leaf in c.data.node.leaves]
                if not below:
                    break
                node = below[0]
            self.call_after_refresh(self.move_cursor, node)

    def set_filter(self, text: str) -> None:
        """Show only branches in which every word is found: of the kind and the conditions down to a rule."""
        self._filter = text.lower().split()
        place = self.place
        self._rebuild(place.kind if place else "")

    def _rebuild(self, kind: str) -> None:
        self.clear()
        for name, tree in self._trees.items():
            if not self._passes(name, tree, ""):
                continue
            top = self.root.add(
                self._kind_label(name), Place(name, tree), expand=name == kind or bool(self._filter)
            )
            top.allow_expand = not tree.is_leaf
            self._fill(top, name, tree, name, 1)
        self.root.expand()
        if kind:
            self.go_to(kind)

    def _fill(self, above: TreeNode[Place], kind: str, node: RuleNode, path: str, depth: int) -> None:
        for child in node.children:
            if not self._passes(kind, child, path):
                continue
            label = self._label(kind, child)
            below = above.add(label, Place(kind, child), expand=depth < 2 or bool(self._filter))
            below.allow_expand = not child.is_leaf
            self._fill(below, kind, child, f"{path} {child.condition}", depth + 1)

    def _passes(self, kind: str, node: RuleNode, path: str) -> bool:
        if not self._filter:
            return True
        text = f"{path} {kind} {node.condition}".lower()
        if node.is_leaf:
            return all(word in text for word in self._filter)
        return any(self._passes(kind, child, text) for child in node.children)

    def _kind_label(self, kind: str) -> Text:
        error = self._models[kind].error
        if not error.measurements:
            return Text.assemble((kind, "bold"), ("  not measured", "dim"))
        return Text.assemble((kind, "bold"), "  ", (percent(error.mape), error_style(error.mape)))

    def _label(self, kind: str, node: RuleNode) -> Text:
        if not node.is_leaf:
            return Text(node.condition)
        leaf = self._models[kind].tree.leaves[node.leaves[0]].leaf
        return Text.assemble(
            (node.condition, "italic"),
            "  ",
            (f"{leaf.samples}", "dim"),
            " ",
            (percent(leaf.mape), error_style(leaf.mape)),
        )

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Any]) -> None:
        event.stop()
        if event.node.data is not None:
            self.post_message(self.Stood(self, event.node.data))

    # What keys do

    def action_fold(self) -> None:
        """Fold this node; a folded one or a leaf: go to the one above."""
        node = self.cursor_node
        if node is None:
            return
        if node.is_expanded and node.children:
            node.collapse()
        elif node.parent is not None and node.parent is not self.root:
            self.move_cursor(node.parent)

    def action_unfold(self) -> None:
        """Unfold this node; an unfolded one: go to the first below."""
        node = self.cursor_node
        if node is None or not node.children:
            return
        if node.is_expanded:
            self.move_cursor(node.children[0])
        else:
            node.expand()

    def action_first(self) -> None:
        self.action_scroll_home()
        self.cursor_line = 0

    def action_last(self) -> None:
        self.cursor_line = self.last_line

    def copied(self) -> str:
        """The rules below the cursor, in words."""
        place = self.place
        if place is None:
            return ""
        from fdi_keras.execution_time import rule_text

        tree = self._models[place.kind].tree
        return "\n".join(f"{place.kind}: {rule_text(tree, leaf).text}" for leaf in place.node.leaves)

    def exported(self) -> tuple[str, list[list[Any]]]:
        """All rules of the kinds that are shown."""
        from fdi_keras.execution_time import describe_rules

        rows: list[list[Any]] = [
            ["kind", "rule", "conditions", "formula", "samples", "mape", "intercept_ms", "weights"]
        ]
        for top in self.root.children:
            if top.data is None:
                continue
            for number, rule in enumerate(describe_rules(self._models[top.data.kind]), 1):
                weights = " ".join(f"{name}={weight:.6g}" for name, weight in rule.weights.items())
                conditions = " and ".join(rule.conditions) or "always"
                rows.append([top.data.kind, number, conditions, rule.formula, rule.samples, rule.mape,
                             rule.intercept_ms, weights])  # fmt: skip
        return "rules", rows
