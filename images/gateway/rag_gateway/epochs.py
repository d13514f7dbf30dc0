"""The table a gateway answers by, and which older ones are still in use.

Everything happens on one event loop: taking the current table and pinning its epoch is one step that nothing can come between, so
`oldest_in_use` never passes an epoch that a running request or stream still uses. The operator deletes by that number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rag_runtime.contracts.routing import RoutingTable

from .errors import UnavailableError


class TableRejectedError(ValueError):
    """A table that must not be answered by; the one before stays."""


class Epochs:
    """Holds the current table. `adopt` moves forward only; `use` pins a table for as long as an answer runs."""

    def __init__(self) -> None:
        self._table: RoutingTable | None = None
        self._pins: Counter[int] = Counter()
        self._listeners: list[Callable[[RoutingTable], None]] = []

    @property
    def table(self) -> RoutingTable | None:
        """The current table, `None` before the first was read."""
        return self._table

    @property
    def served(self) -> int:
        """The newest epoch that requests are answered by; -1 before the first."""
        return -1 if self._table is None else self._table.epoch

    @property
    def oldest_in_use(self) -> int:
        """The oldest epoch that a running answer uses, or the served one."""
        return min(self._pins, default=self.served)

    def on_adopt(self, listener: Callable[[RoutingTable], None]) -> None:
        """Call `listener` with every table that is adopted."""
        self._listeners.append(listener)

    def adopt(self, table: RoutingTable) -> bool:
        """Answer by `table` from now on; false when it is the current one. Raises `TableRejectedError` for a step back."""
        if self._table is not None:
            if table == self._table:
                return False
            if table.epoch <= self._table.epoch:
                raise TableRejectedError(f"epoch {table.epoch} differs from the served table but does not follow epoch {self._table.epoch}")
        self._table = table
        for listener in self._listeners:
            listener(table)
        return True

    @contextmanager
    def use(self) -> Iterator[RoutingTable]:
        """The current table, pinned until the block ends. Raises `UnavailableError` before the first table was read."""
        table = self._table
        if table is None:
            raise UnavailableError("the routing table has not been read yet", code="no_table", retry_after=2)
        self._pins[table.epoch] += 1
        try:
            yield table
        finally:
            self._pins[table.epoch] -= 1
            if not self._pins[table.epoch]:
                del self._pins[table.epoch]
