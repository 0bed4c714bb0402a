"""One request on its way through an engine: what is asked, what comes back, and the queue between engine and reader.

Nothing here runs a model or knows the order of steps; that is `engine`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from logitwire._core import Framer, Grammar, SamplingParams, StopMatcher
from logitwire.errors import EngineError

if TYPE_CHECKING:
    import asyncio

    from logitwire.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an engine is asked for."""

    prompt_ids: Sequence[int]
    params: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None
    """At least 1; None: until the model's context is full."""
    min_tokens: int = 0
    """Within as many tokens only `max_tokens` ends it: at most that."""
    stop: Sequence[str] = ()
    include_stop: bool = False
    stop_tie: Literal["longest", "list"] = "longest"
    """Which of the stop strings that end together counts, as in `StopMatcher`."""
    stop_token_ids: Sequence[int] = ()
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    byte_fallback: Literal["eager", "hf"] = "eager"
    """What becomes of bytes that a token spells one by one: see `Detokenizer`."""
    continuation: bool = False
    """The text goes on after the prompt's, as a completion's does, instead of beginning anew, as an answer's does."""
    grammar: Grammar | None = None
    """What the text is held to, compiled for the engine's own tokenizer or vocabulary."""
    framer: Framer | None = None
    """Writes each piece's `frames`."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's natural log-probability under the model's own distribution (temperature 1, nothing masked or cut)."""

    token_id: int
    logprob: float
    rank: int
    """1 for the most likely token."""
    top: list[tuple[int, float]]
    """(token id, log-probability) of the most likely tokens."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step added to a generation."""

    text: str
    """Whole characters and no part of a stop string; may be empty while either is undecided."""
    token_ids: list[int]
    logprobs: list[TokenLogprob]
    """One for each token if `SamplingParams.logprobs` asks for them, else empty."""
    frames: bytes
    """Server-sent events, ready for the wire, if the request has a framer."""
    finish_reason: str | None
    """ "stop" or "length" in the last piece, else None."""
    stop: str | None
    """The stop string that matched."""


class Flight:
    """A request on its way through the engine. `lock` guards what the reader and the engine both touch."""

    def __init__(self, request: Request, prompt_ids: list[int], max_tokens: int | None, stop: StopMatcher) -> None:
        self.request = request
        self.prompt_ids = prompt_ids
        self.max_tokens = max_tokens
        self.stop = stop
        self.cache: Any = None
        self.slot = -1
        self.pending: list[int] = prompt_ids
        """Tokens for the model, of which it has read `n_read`."""
        self.n_read = 0
        self.cancelled = False

        self.lock = threading.Condition()
        self.pieces: deque[Piece] = deque()
        self.ended = False
        self.error: Exception | None = None
        self.finish_reason: str | None = None
        self.completion_tokens = 0
        self.waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None


class Generation:
    """One request's pieces, as an iterator, an async iterator, or by `take`. One reader.

    A failure (LogitsError, ModelError, EngineClosedError) is raised after the pieces that came before it. Letting go of
    a generation cancels it.
    """

    def __init__(self, engine: Engine, flight: Flight) -> None:
        self._engine = engine
        self._flight = flight

    @property
    def request(self) -> Request:
        return self._flight.request

    @property
    def prompt_tokens(self) -> int:
        return len(self._flight.prompt_ids)

    @property
    def completion_tokens(self) -> int:
        """Tokens so far, the one that ended it included."""
        return self._flight.completion_tokens

    @property
    def finish_reason(self) -> str | None:
        """ "stop", "length" or "cancelled" once it has ended well."""
        return self._flight.finish_reason

    def cancel(self) -> None:
        """End it; its slot is free within one step. Pieces not yet read are lost."""
        self._engine.cancel(self)

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while True:
            piece = self._take(1)
            if piece:
                return piece[0]
            if self._flight.ended:
                raise StopIteration
            self._engine._wait_for(self._flight)

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        pieces = await self._ready(1)
        if not pieces:
            raise StopAsyncIteration
        return pieces[0]

    async def take(self) -> list[Piece]:
        """All pieces that are ready, at least one; [] only at the end."""
        return await self._ready(None)

    async def _ready(self, limit: int | None) -> list[Piece]:
        import asyncio

        # A model faster than its reader must not keep the loop from everybody else.
        await asyncio.sleep(0)
        flight = self._flight
        while True:
            pieces = self._take(limit)
            if pieces:
                return pieces
            loop = asyncio.get_running_loop()
            with flight.lock:
                if flight.pieces:
                    continue
                if flight.ended:
                    break
                self._engine._need_thread()
                if flight.waiter is not None:
                    raise EngineError("this generation is being read already", hint="one reader at a time")
                future = loop.create_future()
                flight.waiter = (loop, future)
            try:
                await future
            finally:
                with flight.lock:
                    flight.waiter = None
        # What ended it may have come between the two looks.
        return self._take(limit)

    def _take(self, limit: int | None) -> list[Piece]:
        flight = self._flight
        with flight.lock:
            n = len(flight.pieces) if limit is None else min(limit, len(flight.pieces))
            pieces = [flight.pieces.popleft() for _ in range(n)]
            was_full = bool(n) and len(flight.pieces) + n >= self._engine.queue_size
            error = None if pieces else flight.error
            if error is not None:
                flight.error = None
        if was_full:
            self._engine._notify()
        if error is not None:
            raise error
        return pieces

    def __del__(self) -> None:
        # No lock: this may run in the middle of anything. The engine looks at the flag before its next step.
        self._flight.cancelled = True
