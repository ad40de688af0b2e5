"""Predicted time of a network as a function of its channel widths.

The plan is made once from a network and a profile, then answers for any widths:
in numpy for thousands of candidate widths at once (pruning, growth), and in the
training graph with a gradient (the regularizer). Both evaluate the same trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from fdi_keras.execution_time import TimeModel, WeightFetch
from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.expected_latency import Affine, ExpectedLatency, Priced
from fdi_keras.networks.layer_operators import NetworkOperator
from fdi_keras.operators import KINDS
from fdi_keras.profile import DeviceProfile

ops = keras.ops

#: Combinations of widths that are priced at once.
GRID_ROWS = 50_000

#: Operators of one kind: their group, and which of it.
Operators = tuple["_Group", np.ndarray]


class LatencyPlan:
    """Predicted latency as a function of the widths of all channel spaces.

    Args:
        operators: the network's operators.
        spaces: its channel spaces; widths below are in their order, kept spaces included.
        profile: of the device.

    Attributes:
        full_widths: ``(len(spaces),)`` widths of the network as it is.
        uncovered: operators that no model prices; they count as zero, and are named.
    """

    #: Of what is predicted.
    unit = "ms"

    def __init__(
        self,
        operators: Sequence[NetworkOperator],
        spaces: ChannelSpaces,
        profile: DeviceProfile,
    ):
        models = profile.models
        self.spaces = spaces
        self.overhead_ms = profile.overhead_ms
        self.full_widths = np.array([space.width for space in spaces], float)
        self.names = [space.name for space in spaces]
        self.uncovered = [o for o in operators if o.problem or o.kind not in models]
        priced = [o for o in operators if not o.problem and o.kind in models]
        kinds = dict.fromkeys(o.kind for o in priced)
        self.groups = [
            _Group(
                models[kind], [o for o in priced if o.kind == kind], spaces, self.names, profile.weight_fetch
            )
            for kind in kinds
        ]
        #: Whether anything can be predicted.
        self.has_prices = bool(self.groups)
        fetch = profile.weight_fetch
        full_bytes = self.weight_bytes(self.full_widths)
        # A network that fits the caches at full width never pays for fetching.
        self._fetch = fetch if fetch is not None and fetch.share(full_bytes) > 0 else None

    def predict_ms(self, widths: np.ndarray) -> np.ndarray:
        """Predicted time of whole networks.

        Args:
            widths: ``(spaces,)`` or ``(networks, spaces)``, whole numbers.

        Returns:
            Milliseconds, a scalar array or ``(networks,)``.
        """
        widths = np.asarray(widths, float)
        batch = np.atleast_2d(widths)
        sized = [group.sized(batch) for group in self.groups]
        total = np.full(len(batch), self.overhead_ms)
        share = (
            None
            if self._fetch is None
            else self._fetch.share(sum(each.weight_bytes.sum(axis=1) for each in sized))
        )
        for each in sized:
            total += self._times(each, share).sum(axis=1)
        return total.reshape(widths.shape[:-1])

    def weight_bytes(self, widths: np.ndarray) -> np.ndarray:
        """Bytes of all priced operators' weights: a scalar array or ``(networks,)``, as for ``predict_ms``."""
        widths = np.asarray(widths, float)
        batch = np.atleast_2d(widths)
        bytes_of = (group.sized(batch).weight_bytes.sum(axis=1) for group in self.groups)
        total = sum(bytes_of, np.zeros(len(batch)))
        return total.reshape(widths.shape[:-1])

    def fetched_share(self, widths: np.ndarray) -> np.ndarray:
        """Share of the weights that does not stay in the caches: a scalar array or ``(networks,)``."""
        if self._fetch is None:
            return np.zeros(np.shape(widths)[:-1])
        return self._fetch.share(self.weight_bytes(widths))

    def space_curve(self, widths: np.ndarray, space: int, values: np.ndarray) -> np.ndarray:
        """Time of the operators that a space feeds, when it takes each of ``values`` and the others stay.

        Differences of it are differences of the whole network's time; of a network too large for the
        caches nearly so: what the other operators' weights cost then is taken as it is at ``widths``.

        Returns:
            Milliseconds, ``(len(values),)``.
        """
        batch = np.repeat(np.atleast_2d(np.asarray(widths, float)), len(values), axis=0)
        batch[:, space] = values
        total = np.zeros(len(batch))
        share = np.repeat(self.fetched_share(np.atleast_2d(widths)), len(batch))
        for group in self.groups:
            rows = group.touching(space)
            if len(rows):
                total += self._times(group.sized(batch, rows), share).sum(axis=1)
        return total

    def costs(self, widths: np.ndarray) -> np.ndarray:
        """What a budget limits, ``(..., 1)``: the predicted time alone."""
        return self.predict_ms(widths)[..., None]

    def curves(self, widths: np.ndarray, space: int, values: np.ndarray) -> np.ndarray:
        """:meth:`space_curve` of all costs, ``(len(values), 1)``."""
        return self.space_curve(widths, space, values)[:, None]

    def weighted(self, prices: np.ndarray) -> LatencyPlan:
        """All costs at their prices; there is only one."""
        return self

    def neighbours(self, space: int) -> np.ndarray:
        """The other spaces that share an operator with a space: its curve depends on their widths alone."""
        shared = np.zeros(len(self.names), bool)
        for group in self.groups:
            rows = group.touching(space)
            for matrix in group.of_space.values():
                shared |= matrix[rows].any(axis=0)
        shared[space] = False
        return np.flatnonzero(shared)

    def operators_by_spaces(self, spaces: Sequence[int]) -> dict[tuple[int, ...], list[Operators]]:
        """The operators by those of some spaces that decide their time; ``()`` where none does."""
        found: dict[tuple[int, ...], list[Operators]] = {}
        for group in self.groups:
            touched = np.array([np.isin(np.arange(len(group.operators)), group.touching(s)) for s in spaces])
            rows: dict[tuple[int, ...], list[int]] = {}
            for row in range(len(group.operators)):
                scope = tuple(space for space, of in zip(spaces, touched, strict=True) if of[row])
                rows.setdefault(scope, []).append(row)
            for scope, mine in rows.items():
                found.setdefault(scope, []).append((group, np.array(mine)))
        return found

    def table(
        self,
        operators: Sequence[Operators],
        widths: np.ndarray,
        scope: Sequence[int],
        values: Sequence[np.ndarray],
    ) -> np.ndarray:
        """Times of some operators at all combinations of some widths.

        What weights cost that do not fit the caches is left out.

        Args:
            operators: see :meth:`operators_by_spaces`.
            widths: ``(spaces,)`` of all spaces.
            scope: spaces that vary.
            values: the widths of each of these.

        Returns:
            Milliseconds, ``(len(values[0]), len(values[1]), ...)``.
        """
        grid = (
            np.stack(np.meshgrid(*values, indexing="ij"), axis=-1).reshape(-1, len(scope))
            if len(scope)
            else None
        )
        total = []
        for part in [grid] if grid is None else np.array_split(grid, -(-len(grid) // GRID_ROWS)):
            batch = np.repeat(np.asarray(widths, float)[None], 1 if part is None else len(part), axis=0)
            if part is not None:
                batch[:, list(scope)] = part
            total.append(sum(group.sized(batch, rows).times.sum(axis=1) for group, rows in operators))
        return np.concatenate(total).reshape([len(value) for value in values])

    def operator_times(self, widths: np.ndarray) -> dict[str, float]:
        """Milliseconds of each priced operator by layer name (a layer's operators added up)."""
        found: dict[str, float] = {}
        for operator, time in self.priced(widths):
            found[operator.name] = found.get(operator.name, 0.0) + time
        return found

    def priced(self, widths: np.ndarray) -> list[tuple[NetworkOperator, float]]:
        """The operators that have a price, kind by kind, and what each takes at these widths, in ms."""
        batch = np.atleast_2d(np.asarray(widths, float))
        share = self.fetched_share(batch)
        return [
            (operator, float(time))
            for group in self.groups
            for operator, time in zip(group.operators, self._times(group.sized(batch), share)[0], strict=True)
        ]

    def rules(self, widths: np.ndarray, space: int) -> list[tuple[str, str]]:
        """(layer name, leaf rule) of each operator that a space feeds, at these widths."""
        found = []
        for group in self.groups:
            rows = group.touching(space)
            dims = group.dims(np.atleast_2d(np.asarray(widths, float)), rows)
            for i, row in enumerate(rows):
                at = {name: np.broadcast_to(column, (len(rows),))[i] for name, column in dims.items()}
                found.append((group.operators[row].name, group.model.rule_of(at)))
        return found

    def expected_ms(self, widths: Any) -> Any:
        """Predicted time at real-valued widths, in the training graph.

        The leaf is chosen at the rounded widths; the gradient flows through the
        leaf's linear formula, so the width of a layer feels the widths of its
        neighbours (Yao et al., SenSys 2018, section 5; rounding is our choice).

        Args:
            widths: float tensor ``(spaces,)`` or ``(networks, spaces)``.

        Returns:
            Float tensor, milliseconds, a scalar or ``(networks,)``.
        """
        if len(widths.shape) == 1:
            return self.expected_ms(ops.expand_dims(widths, 0))[0]
        return self._expected(widths) + self.overhead_ms

    def prepare(self) -> None:
        """Ready :meth:`expected_ms` for a training, outside any graph."""
        self._expected.prepare()

    @cached_property
    def _expected(self) -> ExpectedLatency:
        def side(end: int) -> Affine:
            parts = [group.affine(end) for group in self.groups]
            return Affine(*(np.concatenate(part) for part in zip(*parts, strict=True)))

        operators = [pair for group in self.groups for pair in group.tables()]
        rates = np.concatenate([group.fetch_rate for group in self.groups])
        return ExpectedLatency(operators, side(0), side(-1), self._fetch, rates)

    def _times(self, sized: _Sized, share: np.ndarray | None) -> np.ndarray:
        """``(networks, operators)``, with what fetching costs where such a share of the weights is fetched."""
        if self._fetch is None or share is None:
            return sized.times
        rates = sized.group.fetch_rate[sized.rows]
        return self._fetch.total_ms(rates, sized.times, sized.weight_bytes, share[:, None])


class _Group:
    """The operators of one kind, as matrices: dimension = constant + channels @ widths."""

    def __init__(
        self,
        model: TimeModel,
        operators: list[NetworkOperator],
        spaces: ChannelSpaces,
        names: list[str],
        fetch: WeightFetch | None,
    ):
        self.model, self.operators = model, operators
        self.kind = KINDS[model.kind]
        completed = [self.kind.complete(o.dims) for o in operators]
        self.constant = {d: np.array([c[d] for c in completed], float) for d in self.kind.dimensions}
        #: Milliseconds to fetch a byte of each operator's weights, ``(operators,)``.
        self.fetch_rate = (
            np.zeros(len(operators)) if fetch is None else fetch.rate(model.kind, dict(self.constant))
        )
        #: Channels that a group reads, ``(operators,)``: narrowing takes whole groups away.
        self.group_size = (
            self.constant["in_channels"] / self.constant["groups"] if "groups" in self.constant else None
        )
        self.of_space: dict[str, np.ndarray] = {}
        position = {name: i for i, name in enumerate(names)}
        for d in dict.fromkeys((*self.kind.channels, *(d for o in operators for d in o.channels))):
            matrix = np.zeros((len(operators), len(names)))
            for row, operator in enumerate(operators):
                if d in operator.channels:
                    counts = spaces.counts(operator.channels[d], completed[row][d])
                    for name, count in counts.items():
                        matrix[row, position[name]] = count
                        self.constant[d][row] -= count * spaces[name].width
            self.of_space[d] = matrix
        #: The two dimensions of each operator that widths decide: mostly its input and output channels.
        self.ends = [
            (next((d for d in o.channels if d not in self.kind.channels), self.kind.channels[0]), made)
            for o in operators
            for made in self.kind.channels[-1:]
        ]
        self._touching = [
            np.flatnonzero(sum(m[:, s] for m in self.of_space.values())) for s in range(len(names))
        ]

    def touching(self, space: int) -> np.ndarray:
        """Rows of the operators whose dimensions depend on a space."""
        return self._touching[space]

    def dims(self, widths: np.ndarray, rows: np.ndarray | slice = slice(None)) -> dict[str, np.ndarray]:
        """Dimensions of the operators for each network: flat ``(networks * operators,)``."""
        found = {}
        for d, constant in self.constant.items():
            value = np.broadcast_to(constant[rows], (len(widths), len(constant[rows])))
            if d in self.of_space:
                value = value + widths @ self.of_space[d][rows].T
            found[d] = value.ravel()
        if self.group_size is not None:
            sizes = np.broadcast_to(self.group_size[rows], (len(widths), len(self.group_size[rows])))
            found["groups"] = found["in_channels"] / sizes.ravel()
        return found

    def affine(self, end: int) -> Affine:
        """The first (0) or last (-1) of the two dimensions of the operators that widths decide, by widths."""
        rows = [(row, ends[end]) for row, ends in enumerate(self.ends)]
        constants = np.array([self.constant[name][row] for row, name in rows])
        return Affine(constants, np.stack([self.of_space[name][row] for row, name in rows]))

    def tables(self) -> list[Priced]:
        """What the training graph must know of each operator."""
        sizes = self.group_size
        return [
            Priced(
                self.model,
                {d: float(c[row]) for d, c in self.constant.items()},
                self.ends[row],
                None if sizes is None else float(sizes[row]),
            )
            for row in range(len(self.operators))
        ]

    def sized(self, widths: np.ndarray, rows: np.ndarray | slice = slice(None)) -> _Sized:
        return _Sized(self, rows, self.dims(widths, rows), len(widths))


@dataclass(frozen=True)
class _Sized:
    """Some operators of a group at the widths of each of some networks."""

    group: _Group
    rows: np.ndarray | slice
    dims: dict[str, np.ndarray]
    networks: int

    @cached_property
    def times(self) -> np.ndarray:
        """``(networks, operators)`` milliseconds, but for what weights cost that do not fit the caches."""
        return self.group.model.predict_ms(self.dims).reshape(self.networks, -1)

    @cached_property
    def weight_bytes(self) -> np.ndarray:
        """``(networks, operators)``."""
        return self.group.kind.weight_bytes(self.dims).reshape(self.networks, -1)
