"""The keys of the caller's phone, put together to what was keyed."""

import asyncio
from collections.abc import Callable

_BETWEEN_KEYS_S = 4.0


class Keypad:
    """Hand over what was keyed: at #, when it is as long as it can be, or after a pause."""

    def __init__(self, submit: Callable[[str], None], *, longest: int) -> None:
        self._submit = submit
        self._longest = longest
        self._keys = ""
        self._pause: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Say whether the caller is in the middle of it."""
        return bool(self._keys)

    def press(self, key: str) -> None:
        """Take one key: 0-9, * to begin anew, # to end."""
        self._stop_waiting()
        if key == "*":
            self._keys = ""
            return
        if key != "#":
            self._keys += key
        if key == "#" or len(self._keys) >= self._longest:
            self._hand_over()
        else:
            loop = asyncio.get_running_loop()
            self._pause = loop.call_later(_BETWEEN_KEYS_S, self._hand_over)

    def forget(self) -> None:
        """Forget what was keyed."""
        self._stop_waiting()
        self._keys = ""

    def _hand_over(self) -> None:
        keys, self._keys = self._keys, ""
        if keys:
            self._submit(keys)

    def _stop_waiting(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
