"""Rows as dataclasses."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from psycopg import Cursor
from psycopg.rows import RowMaker

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class rows_of[T: "DataclassInstance"]:
    """Make rows of a dataclass whose fields are named like the columns.

    Columns the dataclass does not have are dropped, so that code which runs while the next
    migration is applied does not stumble over a new one.
    """

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._names = {field.name for field in fields(kind)}

    def __call__(self, cursor: Cursor[Any]) -> RowMaker[T]:
        """Return what turns one row of this cursor into the dataclass."""
        columns = [c.name for c in cursor.description or ()]
        places = [(at, name) for at, name in enumerate(columns) if name in self._names]

        def make(values: Sequence[Any]) -> T:
            return self._kind(**{name: values[at] for at, name in places})

        return make
