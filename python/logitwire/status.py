"""The small numbers in a step's columns, by name."""

from __future__ import annotations

from enum import IntEnum


class RowStatus(IntEnum):
    """What a row of logits was like. Only OK and INF yield a token."""

    OK = 0
    INF = 1
    """Some allowed logits are +inf: the draw is even among those."""
    NAN = 2
    """An allowed logit is NaN."""
    EMPTY = 3
    """Nothing is allowed, or everything allowed is -inf."""
    FAULT = 4
    """The line broke on it, which is a fault of logitwire."""
    LIMIT = 5
    """Its grammar went beyond a limit."""


class FinishReason(IntEnum):
    """Whether and why a request ended."""

    RUNNING = 0
    EOS = 1
    """A token that ends a generation."""
    STOP_TOKEN = 2
    """One of the request's own stop token ids."""
    STOP_STRING = 3
    """One of its stop strings."""
    LENGTH = 4
    """It has all the tokens it may have."""
    ERROR = 5
    """A row that yielded no token: see its RowStatus."""
    GRAMMAR = 6
    """Its grammar: the text is whole, and nothing may follow."""

    @property
    def reason(self) -> str | None:
        """As OpenAI's `finish_reason` says it."""
        match self:
            case FinishReason.RUNNING | FinishReason.ERROR:
                return None
            case FinishReason.LENGTH:
                return "length"
            case _:
                return "stop"
