"""Stop strings in streamed text: `LIBRARIES[name](stops)` begins a stream that takes a piece of text a token.

`feed` gives the text to send and the stop that matched, or None. Servers keep the matcher inside; where it cannot be
called alone its rule is written again here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import logitwire as lw
from libraries import vllm


class Stream(NamedTuple):
    feed: Callable[[str], tuple[str, str | None]]
    finish: Callable[[], str]


def logitwire(stops: Sequence[str]) -> Stream:
    matcher = lw.StopMatcher(list(stops))
    return Stream(matcher.feed, matcher.finish)


def vllm_matcher(stops: Sequence[str]) -> Stream:
    """Its detokenizer's `update` and `get_next_output_text`, with the pieces in place of what it would decode."""

    class Matcher(vllm.detokenizer().BaseIncrementalDetokenizer):  # type: ignore[misc]
        def decode_next(self, next_token_id: int) -> str:
            return pieces[next_token_id]

    pieces: list[str] = []
    matcher = Matcher(vllm.request(stop=list(stops)))

    def feed(piece: str) -> tuple[str, str | None]:
        pieces.append(piece)
        stop = matcher.update([len(pieces) - 1], False)
        return matcher.get_next_output_text(stop is not None, True), stop

    return Stream(feed, lambda: matcher.get_next_output_text(True, True))


def llama_cpp_rule(stops: Sequence[str]) -> Stream:
    """The stop that begins first; while one may have begun, nothing of what is unsent is sent."""
    text, n_sent = "", 0

    def feed(piece: str) -> tuple[str, str | None]:
        nonlocal text, n_sent
        text += piece
        unsent = text[n_sent:]
        found = [
            (at, stop) for stop in stops if (at := unsent.find(stop, max(0, len(unsent) - len(stop + piece)))) >= 0
        ]
        if found:
            at, stop = min(found)
            return unsent[:at], stop
        if any(unsent.endswith(stop[:n]) for stop in stops for n in range(1, len(stop))):
            return "", None
        n_sent = len(text)
        return unsent, None

    return Stream(feed, lambda: text[n_sent:])


def tgi_rule(stops: Sequence[str]) -> Stream:
    """A regular expression for each stop at the end of the last few hundred characters; nothing is held back."""
    patterns = [(stop, re.compile(re.escape(stop) + "$")) for stop in stops]
    text = ""

    def feed(piece: str) -> tuple[str, str | None]:
        nonlocal text
        text += piece
        if len(text) > 300:
            text = text[-200:]
        return piece, next((stop for stop, pattern in patterns if pattern.search(text)), None)

    return Stream(feed, lambda: "")


LIBRARIES: dict[str, Callable[[Sequence[str]], Stream]] = {
    "logitwire": logitwire,
    "vllm": vllm_matcher,
    "llama.cpp's rule": llama_cpp_rule,
    "TGI's rule": tgi_rule,
}
