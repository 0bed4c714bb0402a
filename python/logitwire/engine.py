"""Many requests on one model: admits, prefills in chunks, decodes in one batch, and hands each its text.

One thread runs the model and `Batch.step`; everybody else talks to it through bounded queues. A slow reader pauses its
own sequence only; one that has gone frees its slot within one step. No sockets here, and no event loop: an asyncio
reader is woken at most once a step.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from logitwire._core import Batch, ChatTemplate, Framer, SamplingParams, StepOutput, Tokenizer, Vocab
from logitwire.errors import EngineClosedError, EngineError, LogitsError, ModelError, ParameterError, QueueFullError
from logitwire.status import FinishReason, RowStatus

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an engine is asked for."""

    prompt_ids: Sequence[int]
    params: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None
    """At least 1; None: until the model's context is full."""
    stop: Sequence[str] = ()
    include_stop: bool = False
    stop_token_ids: Sequence[int] = ()
    ignore_eos: bool = False
    skip_special_tokens: bool = True
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


class _Sequence:
    """A request on its way through the engine. `lock` guards what the reader and the engine both touch."""

    def __init__(self, request: Request, prompt_ids: list[int], max_tokens: int | None) -> None:
        self.request = request
        self.prompt_ids = prompt_ids
        self.max_tokens = max_tokens
        self.cache: Any = None
        self.slot = -1
        self.pending: list[int] = prompt_ids
        """Tokens the model has not seen."""
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

    def __init__(self, engine: Engine, sequence: _Sequence) -> None:
        self._engine = engine
        self._sequence = sequence

    @property
    def request(self) -> Request:
        return self._sequence.request

    @property
    def prompt_tokens(self) -> int:
        return len(self._sequence.prompt_ids)

    @property
    def completion_tokens(self) -> int:
        """Tokens so far, the one that ended it included."""
        return self._sequence.completion_tokens

    @property
    def finish_reason(self) -> str | None:
        """ "stop", "length" or "cancelled" once it has ended well."""
        return self._sequence.finish_reason

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
            if self._sequence.ended:
                raise StopIteration
            self._engine._wait_for(self._sequence)

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
        sequence = self._sequence
        while True:
            pieces = self._take(limit)
            if pieces:
                return pieces
            loop = asyncio.get_running_loop()
            with sequence.lock:
                if sequence.pieces:
                    continue
                if sequence.ended:
                    break
                self._engine._need_thread()
                future = loop.create_future()
                sequence.waiter = (loop, future)
            try:
                await future
            finally:
                with sequence.lock:
                    sequence.waiter = None
        # What ended it may have come between the two looks.
        return self._take(limit)

    def _take(self, limit: int | None) -> list[Piece]:
        sequence = self._sequence
        with sequence.lock:
            n = len(sequence.pieces) if limit is None else min(limit, len(sequence.pieces))
            pieces = [sequence.pieces.popleft() for _ in range(n)]
            was_full = bool(n) and len(sequence.pieces) + n >= self._engine.queue_size
            error = None if pieces else sequence.error
            if error is not None:
                sequence.error = None
        if was_full:
            self._engine._notify()
        if error is not None:
            raise error
        return pieces

    def __del__(self) -> None:
        # No lock: this may run in the middle of anything. The engine looks at the flag before its next step.
        self._sequence.cancelled = True


class Engine:
    """Runs requests on one model. Drive it by `step` yourself, or `start` its thread.

    model: a `models.Model`, or a callable `f(token_ids) -> logits`. tokenizer: a Tokenizer or a Vocab; None takes the
    model's own. max_batch: requests decoded together. max_waiting: requests queued beyond those. prefill_chunk: prompt
    tokens the model reads in one step, shared by all prompts, so that long ones do not hold up the others.
    queue_size: pieces a reader may fall behind before its sequence pauses.

    Raises ModelError if the model is none, VocabError if the vocabulary is larger than the model's logits are wide.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer | Vocab | None = None,
        *,
        name: str | None = None,
        max_batch: int = 16,
        max_waiting: int = 256,
        prefill_chunk: int = 256,
        queue_size: int = 256,
    ) -> None:
        from logitwire.models import as_model
        from logitwire.models.protocol import Candidates

        for option, value in [("max_batch", max_batch), ("prefill_chunk", prefill_chunk), ("queue_size", queue_size)]:
            if value < 1:
                raise _out_of_range(option, value, "at least 1")
        if max_waiting < 0:
            raise _out_of_range("max_waiting", max_waiting, "at least 0")
        if tokenizer is None:
            tokenizer = getattr(model, "tokenizer", None)
        if tokenizer is None:
            raise ModelError("the model has no tokenizer of its own", hint="pass one: Engine(model, tokenizer)")
        self.model = as_model(model)
        self.tokenizer = tokenizer
        self.vocab = tokenizer.vocab if isinstance(tokenizer, Tokenizer) else tokenizer
        self.name: str = name or getattr(model, "name", None) or "model"
        self.context_length: int | None = getattr(self.model, "context_length", None)
        self.chat_template: ChatTemplate | None = getattr(model, "chat_template", None)
        self.max_batch = max_batch
        self.max_waiting = max_waiting
        self.prefill_chunk = prefill_chunk
        self.queue_size = queue_size

        self._candidates = Candidates
        self._batch = Batch(self.vocab, vocab_size=self.model.vocab_size)
        self._lock = threading.Condition()
        """Guards the four below."""
        self._waiting: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stepping = threading.RLock()
        self._steps = 0
        self._tokens = 0

    def submit(self, request: Request) -> Generation:
        """Take a request in.

        Raises ParameterError (empty prompt, max_tokens below 1, longer than the context), LimitError, TokenIdError,
        QueueFullError, EngineClosedError.
        """
        if isinstance(request.prompt_ids, str | bytes | bytearray):
            raise TypeError("prompt_ids is text, expected token ids")
        prompt_ids = list(request.prompt_ids)
        sequence = _Sequence(request, prompt_ids, self._max_tokens(request, len(prompt_ids)))
        # Everything that can be wrong with a request is found here, in its own caller.
        self._line(Batch(self.vocab), sequence)
        with self._lock:
            if self._closed:
                raise EngineClosedError("the engine is closed")
            if len(self._waiting) >= self.max_waiting + self.max_batch - len(self._running):
                raise QueueFullError(f"{len(self._waiting)} requests wait already", hint="try again later")
            self._waiting.append(sequence)
            self._lock.notify_all()
        return Generation(self, sequence)

    def _max_tokens(self, request: Request, n_prompt: int) -> int | None:
        if n_prompt == 0:
            raise _out_of_range("prompt_ids", "no token", "at least one")
        if request.max_tokens is not None and request.max_tokens < 1:
            raise _out_of_range("max_tokens", request.max_tokens, "at least 1")
        if self.context_length is None:
            return request.max_tokens
        room = self.context_length - n_prompt
        if room < 1:
            expected = f"fewer than the {self.context_length} of the model's context"
            raise _out_of_range("prompt_ids", f"{n_prompt} tokens", expected)
        if request.max_tokens is not None and request.max_tokens > room:
            raise _out_of_range(
                "max_tokens",
                request.max_tokens,
                f"at most {room}: the context holds {self.context_length} tokens and the prompt has {n_prompt}",
            )
        return request.max_tokens or room

    def _line(self, batch: Batch, sequence: _Sequence) -> int:
        request = sequence.request
        return batch.add(
            request.params,
            sequence.prompt_ids,
            max_tokens=sequence.max_tokens,
            stop=request.stop,
            include_stop=request.include_stop,
            stop_token_ids=request.stop_token_ids,
            ignore_eos=request.ignore_eos,
            skip_special_tokens=request.skip_special_tokens,
            framer=request.framer,
        )

    def cancel(self, generation: Generation) -> None:
        """End a generation within one step."""
        generation._sequence.cancelled = True
        self._notify()

    @property
    def closed(self) -> bool:
        """Whether it takes no more requests: closed by its owner, or broken."""
        return self._closed

    def stats(self) -> dict[str, int]:
        """running and waiting requests; tokens drawn and steps taken so far."""
        with self._lock:
            alive = sum(not sequence.cancelled for sequence in self._running)
            waiting = sum(not sequence.cancelled for sequence in self._waiting)
            return {"running": alive, "waiting": waiting, "tokens": self._tokens, "steps": self._steps}

    def start(self) -> Self:
        """Start the engine's thread, if it does not run."""
        with self._lock:
            if self._closed:
                raise EngineClosedError("the engine is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="logitwire-engine", daemon=True)
                self._thread.start()
        return self

    def close(self, *, wait: bool = True) -> None:
        """End the thread after the step it is in; generations still running get EngineClosedError."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._lock.notify_all()
        if thread is None:
            with self._stepping:
                self._fail_all(EngineClosedError("the engine was closed"))
        elif wait and thread is not threading.current_thread():
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def step(self) -> bool:
        """Take one step in the caller's thread. False if there was nothing to do.

        Raises EngineError while the engine's own thread runs, EngineClosedError once it is closed.
        """
        with self._lock:
            if self._closed:
                raise EngineClosedError("the engine is closed")
            if self._thread is not None:
                raise EngineError("the engine's own thread takes the steps", hint="call step() or start(), not both")
        with self._stepping:
            return self._step()

    def _need_thread(self) -> None:
        if self._thread is None and not self._closed:
            raise EngineError("nobody takes the engine's steps", hint="call engine.start() before reading with asyncio")

    def _notify(self) -> None:
        with self._lock:
            self._lock.notify_all()

    def _wait_for(self, sequence: _Sequence) -> None:
        """Until the sequence has something for its reader."""
        if self._thread is None:
            with self._stepping:
                if sequence.pieces or sequence.ended:
                    return
                if not self._closed and not self._step() and not sequence.ended:
                    raise EngineError("every other generation of this engine waits to be read, and this one for them")
            return
        with sequence.lock:
            while not sequence.pieces and not sequence.ended:
                sequence.lock.wait()

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._closed and not self._has_work():
                    self._lock.wait()
                if self._closed:
                    break
            try:
                self._step()
            except Exception:
                import logging

                logging.getLogger("logitwire").exception("the engine broke")
                with self._lock:
                    self._closed = True
        self._fail_all(EngineClosedError("the engine was closed"))

    def _has_work(self) -> bool:
        if any(sequence.cancelled or self._is_ready(sequence) for sequence in self._running):
            return True
        return any(sequence.cancelled for sequence in self._waiting) or (
            bool(self._waiting) and len(self._running) < self.max_batch
        )

    def _is_ready(self, sequence: _Sequence) -> bool:
        return len(sequence.pieces) < self.queue_size

    def _step(self) -> bool:
        ended = self._admit()
        rows = self._schedule()
        if rows:
            self._steps += 1
            ended += self._advance(rows)
        self._deliver(ended)
        return bool(rows) or bool(ended)

    def _admit(self) -> list[_Outcome]:
        """Let cancelled sequences go and waiting ones in."""
        outcomes = []
        with self._lock:
            gone = [sequence for sequence in (*self._running, *self._waiting) if sequence.cancelled]
            for sequence in gone:
                outcomes.append(_Outcome(sequence, finish_reason="cancelled", ended=True))
            if gone:
                self._waiting = deque(sequence for sequence in self._waiting if not sequence.cancelled)
            for sequence in gone:
                self._release(sequence)
            while self._waiting and len(self._running) < self.max_batch:
                sequence = self._waiting.popleft()
                try:
                    sequence.cache = self.model.new_cache()
                    sequence.slot = self._line(self._batch, sequence)
                except Exception as error:
                    outcomes.append(_Outcome(sequence, error=_model_error(error), ended=True))
                else:
                    self._running.append(sequence)
        return outcomes

    def _release(self, sequence: _Sequence) -> None:
        if sequence in self._running:
            self._running.remove(sequence)
        if sequence.slot >= 0:
            self._batch.remove(sequence.slot)
            sequence.slot = -1
        sequence.cache = None

    def _schedule(self) -> list[_Row]:
        """What the model reads in this step: of each sequence its last token, or the next part of its prompt.

        Rows that yield a token come first, so that their logits are a slice.
        """
        rows = []
        budget = self.prefill_chunk
        for sequence in self._running:
            if not self._is_ready(sequence):
                continue
            n = len(sequence.pending)
            if n > 1 or sequence.completion_tokens == 0:
                n = min(n, budget)
                budget -= n
            if n:
                rows.append(_Row(sequence, sequence.pending[:n], n == len(sequence.pending)))
        return sorted(rows, key=lambda row: not row.yields)

    def _advance(self, rows: list[_Row]) -> list[_Outcome]:
        lengths = [row.sequence.cache.len for row in rows]
        try:
            logits = self._forward(rows)
            columns = self._draw(rows, logits)
        except Exception as error:
            return self._one_by_one(rows, lengths, error)
        return self._outcomes(rows, columns)

    def _one_by_one(self, rows: list[_Row], lengths: list[int], error: Exception) -> list[_Outcome]:
        """The model failed on some of these rows: put their caches back, and find out on which."""
        outcomes = []
        alone = []
        for row, length in zip(rows, lengths, strict=True):
            try:
                row.sequence.cache.truncate(length)
            except Exception as failure:
                outcomes.append(self._failed(row.sequence, _model_error(failure)))
            else:
                alone.append(row)
        if len(rows) == 1:
            return outcomes or [self._failed(rows[0].sequence, _model_error(error))]
        for row in alone:
            outcomes += self._advance([row])
        return outcomes

    def _forward(self, rows: list[_Row]) -> Any:
        logits = self.model.forward([(row.sequence.cache, row.token_ids) for row in rows], positions="last")
        shape = tuple((logits.logits if isinstance(logits, self._candidates) else logits).shape)
        if len(shape) != 2 or shape[0] != len(rows):
            raise ModelError(
                f"the model gave logits of shape {shape} for {len(rows)} rows",
                hint='forward(rows, positions="last") must give (rows, vocab_size)',
            )
        return logits

    def _draw(self, rows: list[_Row], logits: Any) -> StepOutput | None:
        slots = [row.sequence.slot for row in rows if row.yields]
        n = len(slots)
        if not n:
            return None
        if isinstance(logits, self._candidates):
            return self._batch.step_candidates(logits.ids[:n], logits.logits[:n], logits.logsumexp[:n], slots)
        return self._batch.step(logits if n == len(rows) else logits[:n], slots)

    def _outcomes(self, rows: list[_Row], columns: StepOutput | None) -> list[_Outcome]:
        outcomes = []
        for row in rows:
            row.sequence.pending = row.sequence.pending[len(row.token_ids) :]
        if columns is None:
            return []
        text, frames = columns.text, columns.frames
        text_offsets, frame_offsets = columns.text_offsets.tolist(), columns.frame_offsets.tolist()
        tokens, finishes, statuses = columns.tokens.tolist(), columns.finish.tolist(), columns.status.tolist()
        for i, token in enumerate(tokens):
            sequence = rows[i].sequence
            finish = FinishReason(finishes[i])
            if finish is FinishReason.ERROR:
                outcomes.append(self._failed(sequence, _no_token(RowStatus(statuses[i]))))
                continue
            self._tokens += 1
            sequence.pending = [token]
            stop_index = int(columns.stop_index[i])
            piece = Piece(
                text[text_offsets[i] : text_offsets[i + 1]].decode(),
                [token],
                [] if sequence.request.params.logprobs is None else [_logprob(columns, i)],
                frames[frame_offsets[i] : frame_offsets[i + 1]],
                finish.reason,
                None if stop_index < 0 else sequence.request.stop[stop_index],
            )
            ended = finish is not FinishReason.RUNNING
            outcomes.append(_Outcome(sequence, piece, finish_reason=finish.reason, ended=ended))
            if ended:
                with self._lock:
                    self._release(sequence)
        return outcomes

    def _failed(self, sequence: _Sequence, error: Exception) -> _Outcome:
        with self._lock:
            self._release(sequence)
        return _Outcome(sequence, error=error, ended=True)

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            sequences = [*self._running, *self._waiting]
            self._running, self._waiting = [], deque()
        self._deliver([_Outcome(sequence, error=error, ended=True) for sequence in sequences])

    def _deliver(self, outcomes: list[_Outcome]) -> None:
        """Hand the outcomes of a step over, and wake each event loop once."""
        wake: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for outcome in outcomes:
            sequence = outcome.sequence
            with sequence.lock:
                if outcome.piece is not None:
                    sequence.pieces.append(outcome.piece)
                    sequence.completion_tokens += len(outcome.piece.token_ids)
                if outcome.ended:
                    sequence.ended = True
                    sequence.error = outcome.error
                    sequence.finish_reason = outcome.finish_reason
                    if outcome.finish_reason == "cancelled":
                        sequence.pieces.clear()
                if sequence.waiter is not None:
                    loop, future = sequence.waiter
                    sequence.waiter = None
                    wake.setdefault(loop, []).append(future)
                sequence.lock.notify_all()
        for loop, futures in wake.items():
            # A loop that is closed has no reader left; its generations are let go of and so cancelled.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, futures)


@dataclass(slots=True)
class _Row:
    """What the model reads of one sequence in one step."""

    sequence: _Sequence
    token_ids: list[int]
    yields: bool
    """Whether its last position is where the next token is drawn."""


@dataclass(slots=True)
class _Outcome:
    """What one step came to for one sequence."""

    sequence: _Sequence
    piece: Piece | None = None
    error: Exception | None = None
    finish_reason: str | None = None
    ended: bool = False


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _logprob(columns: StepOutput, i: int) -> TokenLogprob:
    pairs = zip(columns.top_ids[i].tolist(), columns.top_logprobs[i].tolist(), strict=True)
    top = [(token, logprob) for token, logprob in pairs if token >= 0]
    return TokenLogprob(int(columns.tokens[i]), float(columns.logprobs[i]), int(columns.ranks[i]), top)


def _no_token(status: RowStatus) -> LogitsError:
    what = {
        RowStatus.NAN: "the model gave NaN logits",
        RowStatus.EMPTY: "no token is allowed: every logit is -inf",
    }.get(status, "the line broke on this row: a fault of logitwire")
    return LogitsError(what, status=status.name.lower())


def _model_error(error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    wrapped = ModelError(f"the model failed: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


def _out_of_range(name: str, value: int | str, expected: str) -> ParameterError:
    return ParameterError(f"{name}: {value}, expected {expected}", field=name, value=value, expected=expected)
