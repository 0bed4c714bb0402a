"""Stop strings by searching the whole text again at every piece.

The stop whose end comes first wins; of those ending there the longest, or the first in the list. One that ends within
the minimum is text. Held back is the longest suffix of the text that is a proper prefix of some stop, and nothing in
include mode.
"""

from __future__ import annotations

from collections.abc import Sequence


def search(text: str, stops: Sequence[str], *, stop_tie: str = "longest", minimum: int = 0) -> tuple[int, str] | None:
    """(where the winning stop ends, the stop), or None. Only ends beyond `minimum` characters count."""
    for end in range(minimum + 1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return end, ending[0] if stop_tie == "list" else max(ending, key=len)
    return None


def held(text: str, stops: Sequence[str]) -> str:
    """The longest suffix of the text that is a proper prefix of some stop."""
    for start in range(len(text)):
        if any(len(stop) > len(text) - start and stop.startswith(text[start:]) for stop in stops):
            return text[start:]
    return ""


def at_once(
    text: str, stops: Sequence[str], *, include_stop: bool = False, stop_tie: str = "longest", minimum: int = 0
) -> tuple[str, str | None]:
    """(all the text a client may see, the stop that matched or None), with the end of the text known."""
    found = search(text, stops, stop_tie=stop_tie, minimum=minimum)
    if found is None:
        return text, None
    end, stop = found
    return text[: end if include_stop else end - len(stop)], stop


class StopMatcher:
    def __init__(self, stops: Sequence[str], *, include_stop: bool = False, stop_tie: str = "longest") -> None:
        self.stops, self.include_stop, self.stop_tie = stops, include_stop, stop_tie
        self.reset()

    def reset(self) -> None:
        self.text, self.n_shown, self.minimum, self.over = "", 0, 0, False

    def feed(self, text: str, *, armed: bool = True) -> tuple[str, str | None]:
        if self.over:
            return "", None
        if not armed:
            self.minimum = len(self.text) + len(text)
        # What was fed armed before has been searched: no stop ends there.
        minimum = max(self.minimum, len(self.text))
        self.text += text
        safe, stop = at_once(
            self.text, self.stops, include_stop=self.include_stop, stop_tie=self.stop_tie, minimum=minimum
        )
        if stop is None and not self.include_stop:
            safe = safe[: len(safe) - len(held(safe, self.stops))]
        piece, self.n_shown, self.over = safe[self.n_shown :], len(safe), stop is not None
        return piece, stop

    def finish(self) -> str:
        piece = "" if self.over else self.text[self.n_shown :]
        self.reset()
        return piece
