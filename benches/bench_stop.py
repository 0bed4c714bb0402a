"""Stop strings in streamed text: ours, and the rule of servers that search the whole text again (our reference).

Stops that never come, that keep beginning, and sixteen long ones; a piece is a token's few characters.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from reference import stop as reference
from reference.byte_level import SAMPLE

import logitwire as lw


def pieces(text: str, n: int) -> list[str]:
    rng, out, at = random.Random(0), [], 0
    for _ in range(n):
        size = rng.randint(1, 7)
        out.append(text[at % len(text) : at % len(text) + size])
        at += size
    return out


CASES: dict[str, tuple[list[str], list[str]]] = {
    "one, never": (["<|im_end|>"], pieces(SAMPLE, 2000)),
    "four, never": (["\n\nUser:", "</s>", "```", "###"], pieces(SAMPLE, 2000)),
    "sixteen long": ([f"stop number {i} of sixteen" for i in range(16)], pieces(SAMPLE, 2000)),
    "keeps beginning": (["the the the the x"], pieces("the " * 500, 2000)),
    "worst": (["a" * 1000 + "b"], pieces("a" * 4000, 2000)),
}


class VllmRule:
    """Hold back the longest stop's length; search from there."""

    def __init__(self, stops: list[str]) -> None:
        self.stops, self.text, self.sent = stops, "", 0
        self.held = max(map(len, stops)) - 1

    def feed(self, piece: str) -> str:
        start = len(self.text)
        self.text += piece
        for stop in self.stops:
            if self.text.find(stop, max(0, start - len(stop) + 1)) >= 0:
                raise AssertionError("no case has a stop")
        ready = self.text[self.sent : max(self.sent, len(self.text) - self.held)]
        self.sent += len(ready)
        return ready

    def finish(self) -> str:
        return self.text[self.sent :]


def ours(stops: list[str], stream: list[str]) -> list[str]:
    matcher = lw.StopMatcher(stops)
    return [*(matcher.feed(piece)[0] for piece in stream), matcher.finish()]


def vllm_rule(stops: list[str], stream: list[str]) -> list[str]:
    matcher = VllmRule(stops)
    return [*map(matcher.feed, stream), matcher.finish()]


LIBRARIES: dict[str, Callable[[list[str], list[str]], list[str]]] = {"logitwire": ours, "vLLM's rule": vllm_rule}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_stop(timed: Any, library: str, case: str) -> None:
    stops, stream = CASES[case]
    run = LIBRARIES[library]
    matcher = reference.StopMatcher(stops)
    short = stream[:150]
    correct = run(stops, short) == [*(matcher.feed(piece)[0] for piece in short), matcher.finish()]
    timed(library, len(stream), correct, lambda: run(stops, stream))
