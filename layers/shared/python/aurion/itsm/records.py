"""A vendor's JSON, read field by field: whatever has the wrong shape is refused."""

from datetime import UTC, datetime
from typing import cast

from aurion.errors import Untrusted


class Record:
    """A JSON object of an answer; a missing or wrongly typed field raises `Untrusted`."""

    __slots__ = ("_fields",)

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise Untrusted
        self._fields = cast("dict[str, object]", value)

    def text(self, name: str) -> str:
        """Read a string."""
        value = self._fields.get(name)
        if not isinstance(value, str):
            raise Untrusted
        return value

    def optional_text(self, name: str) -> str | None:
        """Read a string that may be null or absent."""
        return None if self._fields.get(name) is None else self.text(name)

    def flag(self, name: str) -> bool:
        """Read a boolean."""
        value = self._fields.get(name)
        if not isinstance(value, bool):
            raise Untrusted
        return value

    def choice[T: str](self, name: str, options: tuple[T, ...]) -> T:
        """Read a string that must be one of a closed set."""
        value = self.text(name)
        for option in options:
            if option == value:
                return option
        raise Untrusted

    def moment(self, name: str) -> datetime:
        """Read an ISO 8601 time that says its zone; gives UTC."""
        try:
            value = datetime.fromisoformat(self.text(name))
        except ValueError:
            raise Untrusted from None
        if value.tzinfo is None:
            raise Untrusted
        return value.astimezone(UTC)

    def optional_moment(self, name: str) -> datetime | None:
        """Read a time that may be null or absent."""
        return None if self._fields.get(name) is None else self.moment(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """Read a list of strings."""
        values = self._list(name)
        texts = tuple(value for value in values if isinstance(value, str))
        if len(texts) != len(values):
            raise Untrusted
        return texts

    def records(self, name: str) -> list["Record"]:
        """Read a list of objects."""
        return [Record(value) for value in self._list(name)]

    def _list(self, name: str) -> list[object]:
        value = self._fields.get(name)
        if not isinstance(value, list):
            raise Untrusted
        return cast("list[object]", value)
