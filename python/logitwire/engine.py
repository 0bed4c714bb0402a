"""Many requests on one model: admits, prefills in chunks, decodes in one batch, and hands each its text.

One thread runs the model and `Batch.step`; everybody else talks to it through bounded queues. A slow reader pauses its
own sequence only; one that has gone frees its slot within one step. No sockets here, and no event loop: an asyncio
reader is woken at most once a step.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from logitwire._core import Batch, ChatTemplate, StepOutput, StopMatcher, Tokenizer, Vocab
from logitwire.errors import (
    EngineClosedError,
    EngineError,
    LimitError,
    LogitsError,
    LogitwireError,
    ModelError,
    ParameterError,
    QueueFullError,
)
from logitwire.generation import Flight, Generation, Piece, Request, TokenLogprob
from logitwire.status import FinishReason, RowStatus

if TYPE_CHECKING:
    import asyncio

LET_GO_S = 0.05
"""How often an engine whose sequences are all paused looks whether one was let go of."""


class Engine:
    """Runs requests on one model. Drive it by `step` yourself, or `start` its thread.

    model: a `models.Model`, or a callable `f(token_ids) -> logits`. tokenizer: a Tokenizer or a Vocab; None takes the
    model's own. max_batch: requests decoded together. max_waiting: requests queued beyond those. prefill_chunk: prompt
    tokens the model reads in one step, shared by all prompts, so that long ones do not hold up the others.
    queue_size: pieces a reader may fall behind before its sequence pauses; a paused one keeps its place.

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
        self._waiting: deque[Flight] = deque()
        self._running: list[Flight] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stepping = threading.RLock()
        self._steps = 0
        self._tokens = 0

    def submit(self, request: Request) -> Generation:
        """Take a request in.

        Raises ParameterError (empty prompt, max_tokens below 1 or min_tokens, longer than the context), LimitError,
        TokenIdError, VocabError (a grammar for another vocabulary), QueueFullError, EngineClosedError.
        """
        if isinstance(request.prompt_ids, str | bytes | bytearray):
            raise TypeError("prompt_ids is text, expected token ids")
        if isinstance(request.stop, str):
            raise ParameterError("stop is a string, expected a sequence of strings", field="stop")
        # The engine's own copies: what a caller does to theirs later is not its business.
        prompt_ids = list(request.prompt_ids)
        stops, stop_ids = tuple(request.stop), tuple(request.stop_token_ids)
        request = replace(request, prompt_ids=prompt_ids, stop=stops, stop_token_ids=stop_ids)
        stop = StopMatcher(stops, include_stop=request.include_stop, stop_tie=request.stop_tie)
        flight = Flight(request, prompt_ids, self._max_tokens(request, len(prompt_ids)), stop)
        # Everything that can be wrong with a request is found here, in its own caller.
        self._line(Batch(self.vocab), flight)
        with self._lock:
            if self._closed:
                raise EngineClosedError("the engine is closed")
            if len(self._waiting) >= self.max_waiting + self.max_batch - len(self._running):
                raise QueueFullError(f"{len(self._waiting)} requests wait already", hint="try again later")
            self._waiting.append(flight)
            self._lock.notify_all()
        return Generation(self, flight)

    def _max_tokens(self, request: Request, n_prompt: int) -> int | None:
        if n_prompt == 0:
            raise _out_of_range("prompt_ids", "no token", "at least one")
        if request.max_tokens is not None and (type(request.max_tokens) is not int or request.max_tokens < 1):
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

    def room(self, n_prompt: int, at_most: int) -> int:
        """How many tokens to ask for by default: `at_most`, fewer where the context has no room for them after a prompt
        of n_prompt, and at least 1, for a prompt too long is `submit`'s to refuse."""
        if self.context_length is None:
            return at_most
        return max(1, min(at_most, self.context_length - n_prompt))

    def _line(self, batch: Batch, flight: Flight) -> int:
        request = flight.request
        return batch.add(
            request.params,
            flight.prompt_ids,
            max_tokens=flight.max_tokens,
            min_tokens=request.min_tokens,
            stop=flight.stop,
            stop_token_ids=request.stop_token_ids,
            ignore_eos=request.ignore_eos,
            skip_special_tokens=request.skip_special_tokens,
            byte_fallback=request.byte_fallback,
            continuation=request.continuation,
            grammar=request.grammar,
            framer=request.framer,
        )

    def cancel(self, generation: Generation) -> None:
        """End a generation within one step."""
        generation._flight.cancelled = True
        self._notify()

    @property
    def closed(self) -> bool:
        """Whether it takes no more requests: closed by its owner, or broken."""
        return self._closed

    def stats(self) -> dict[str, int]:
        """running and waiting requests; tokens drawn and steps taken so far."""
        with self._lock:
            alive = sum(not flight.cancelled for flight in self._running)
            waiting = sum(not flight.cancelled for flight in self._waiting)
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
            # It may have been started meanwhile.
            return not self._has_thread() and self._step()

    def _has_thread(self) -> bool:
        return self._thread is not None

    def _need_thread(self) -> None:
        if self._thread is None and not self._closed:
            raise EngineError("nobody takes the engine's steps", hint="call engine.start() before reading with asyncio")

    def _notify(self) -> None:
        with self._lock:
            self._lock.notify_all()

    def _wait_for(self, flight: Flight) -> None:
        """Until the sequence has something for its reader."""
        if self._thread is None:
            with self._stepping:
                if flight.pieces or flight.ended:
                    return
                if not self._has_thread() and not self._closed:
                    if not self._step() and not flight.ended:
                        raise EngineError("every other generation of this engine waits to be read, this one for them")
                    return
        with flight.lock:
            while not flight.pieces and not flight.ended:
                flight.lock.wait()

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    while not self._closed and not self._has_work():
                        # A generation let go of cannot wake anybody: it may happen in the middle of anything.
                        self._lock.wait(LET_GO_S if self._running else None)
                    if self._closed:
                        break
                with self._stepping:
                    self._step()
        except BaseException:
            import logging

            logging.getLogger("logitwire").exception("the engine broke")
        finally:
            with self._lock:
                self._closed = True
            self._fail_all(EngineClosedError("the engine was closed"))

    def _is_the_models(self, error: BaseException) -> bool:
        """Whether the model is to blame. In the engine's own thread it is for everything; elsewhere an interrupt is the
        caller's."""
        return isinstance(error, Exception) or threading.current_thread() is self._thread

    def _has_work(self) -> bool:
        if any(flight.cancelled or self._is_ready(flight) for flight in self._running):
            return True
        return any(flight.cancelled for flight in self._waiting) or (
            bool(self._waiting) and len(self._running) < self.max_batch
        )

    def _is_ready(self, flight: Flight) -> bool:
        return len(flight.pieces) < self.queue_size

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
            gone = [flight for flight in (*self._running, *self._waiting) if flight.cancelled]
            for flight in gone:
                outcomes.append(_Outcome(flight, finish_reason="cancelled", ended=True))
            if gone:
                self._waiting = deque(flight for flight in self._waiting if not flight.cancelled)
            for flight in gone:
                self._release(flight)
            while self._waiting and len(self._running) < self.max_batch:
                flight = self._waiting.popleft()
                try:
                    flight.cache = self.model.new_cache()
                    if flight.cache.len != 0:
                        raise ModelError(f"new_cache() gave a cache that holds {flight.cache.len} tokens")
                    flight.slot = self._line(self._batch, flight)
                except BaseException as error:
                    if not self._is_the_models(error):
                        raise
                    outcomes.append(_Outcome(flight, error=_model_error(error), ended=True))
                else:
                    self._running.append(flight)
        return outcomes

    def _release(self, flight: Flight) -> None:
        if flight in self._running:
            self._running.remove(flight)
        if flight.slot >= 0:
            self._batch.remove(flight.slot)
            flight.slot = -1
        flight.cache = None

    def _schedule(self) -> list[_Row]:
        """What the model reads in this step: of each sequence its last token, or the next part of its prompt.

        Rows that yield a token come first, so that their logits are a slice.
        """
        rows = []
        budget = self.prefill_chunk
        for flight in self._running:
            if not self._is_ready(flight):
                continue
            begin, end = flight.n_read, len(flight.pending)
            if end - begin > 1 or flight.completion_tokens == 0:
                end = min(end, begin + budget)
                budget -= end - begin
            if end > begin:
                rows.append(_Row(flight, flight.pending[begin:end], end == len(flight.pending)))
        return sorted(rows, key=lambda row: not row.yields)

    def _advance(self, rows: list[_Row]) -> list[_Outcome]:
        lengths = [row.flight.cache.len for row in rows]
        try:
            logits = self._forward(rows)
            columns = self._draw(rows, logits)
        except BaseException as error:
            outcomes, alone = self._put_back(rows, lengths, error)
            if not self._is_the_models(error):
                raise
            if len(rows) == 1:
                return outcomes or [self._failed(rows[0].flight, _model_error(error))]
            for row in alone:
                outcomes += self._advance([row])
            return outcomes
        return self._outcomes(rows, columns)

    def _put_back(
        self, rows: list[_Row], lengths: list[int], error: BaseException
    ) -> tuple[list[_Outcome], list[_Row]]:
        """The model failed on some of these rows. Make their caches what they were; the rows can then be tried one by
        one, to find out on which."""
        outcomes, alone = [], []
        for row, length in zip(rows, lengths, strict=True):
            try:
                row.flight.cache.truncate(length)
            except Exception as failure:
                lost = _model_error(error)
                lost.add_note(f"its cache could not be put back either: {failure!r}")
                outcomes.append(self._failed(row.flight, lost))
            else:
                alone.append(row)
        return outcomes, alone

    def _forward(self, rows: list[_Row]) -> Any:
        logits = self.model.forward([(row.flight.cache, row.token_ids) for row in rows], positions="last")
        shape = tuple((logits.logits if isinstance(logits, self._candidates) else logits).shape)
        if len(shape) != 2 or shape[0] != len(rows):
            raise ModelError(
                f"the model gave logits of shape {shape} for {len(rows)} rows",
                hint='forward(rows, positions="last") must give (rows, vocab_size)',
            )
        return logits

    def _draw(self, rows: list[_Row], logits: Any) -> StepOutput | None:
        slots = [row.flight.slot for row in rows if row.yields]
        n = len(slots)
        if not n:
            return None
        if isinstance(logits, self._candidates):
            return self._batch.step_candidates(logits.ids[:n], logits.logits[:n], logits.logsumexp[:n], slots)
        return self._batch.step(logits if n == len(rows) else logits[:n], slots)

    def _outcomes(self, rows: list[_Row], columns: StepOutput | None) -> list[_Outcome]:
        outcomes = []
        for row in rows:
            row.flight.n_read += len(row.token_ids)
        if columns is None:
            return []
        text, frames = columns.text, columns.frames
        text_offsets, frame_offsets = columns.text_offsets.tolist(), columns.frame_offsets.tolist()
        tokens, finishes, statuses = columns.tokens.tolist(), columns.finish.tolist(), columns.status.tolist()
        for i, token in enumerate(tokens):
            flight = rows[i].flight
            finish = FinishReason(finishes[i])
            if finish is FinishReason.ERROR:
                outcomes.append(self._failed(flight, _no_token(RowStatus(statuses[i]))))
                continue
            self._tokens += 1
            flight.pending, flight.n_read = [token], 0
            stop_index = int(columns.stop_index[i])
            piece = Piece(
                text[text_offsets[i] : text_offsets[i + 1]].decode(),
                [token],
                [] if flight.request.params.logprobs is None else [_logprob(columns, i)],
                frames[frame_offsets[i] : frame_offsets[i + 1]],
                finish.reason,
                None if stop_index < 0 else flight.request.stop[stop_index],
            )
            ended = finish is not FinishReason.RUNNING
            outcomes.append(_Outcome(flight, piece, finish_reason=finish.reason, ended=ended))
            if ended:
                with self._lock:
                    self._release(flight)
        return outcomes

    def _failed(self, flight: Flight, error: Exception) -> _Outcome:
        with self._lock:
            self._release(flight)
        return _Outcome(flight, error=error, ended=True)

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            flights = [*self._running, *self._waiting]
            self._running, self._waiting = [], deque()
        self._deliver([_Outcome(flight, error=error, ended=True) for flight in flights])

    def _deliver(self, outcomes: list[_Outcome]) -> None:
        """Hand the outcomes of a step over, and wake each event loop once."""
        wake: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for outcome in outcomes:
            flight = outcome.flight
            with flight.lock:
                if outcome.piece is not None:
                    flight.pieces.append(outcome.piece)
                    flight.completion_tokens += len(outcome.piece.token_ids)
                if outcome.ended:
                    flight.ended = True
                    flight.error = outcome.error
                    flight.finish_reason = outcome.finish_reason
                    if outcome.finish_reason == "cancelled":
                        flight.pieces.clear()
                if flight.waiter is not None:
                    loop, future = flight.waiter
                    flight.waiter = None
                    wake.setdefault(loop, []).append(future)
                flight.lock.notify_all()
        for loop, futures in wake.items():
            # A loop that is closed has no reader left; its generations are let go of and so cancelled.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, futures)


@dataclass(slots=True)
class _Row:
    """What the model reads of one sequence in one step."""

    flight: Flight
    token_ids: list[int]
    yields: bool
    """Whether its last position is where the next token is drawn."""


@dataclass(slots=True)
class _Outcome:
    """What one step came to for one sequence."""

    flight: Flight
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


def _no_token(status: RowStatus) -> LogitwireError:
    if status is RowStatus.LIMIT:
        return LimitError(
            "the grammar takes more steps, or its text more bytes, than are allowed",
            field="grammar",
            hint="logitwire.limits() lists grammar_step_fuel and grammar_text_bytes",
        )
    what = {
        RowStatus.NAN: "the model gave NaN logits",
        RowStatus.EMPTY: "no token is allowed, or the logit of every allowed one is -inf",
    }.get(status, "the line broke on this row: a fault of logitwire")
    return LogitsError(what, status=status.name.lower())


def _model_error(error: BaseException) -> ModelError:
    if isinstance(error, ModelError):
        return error
    wrapped = ModelError(f"the model failed: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


def _out_of_range(name: str, value: object, expected: str) -> ParameterError:
    return ParameterError(f"{name}: {value}, expected {expected}", field=name, value=value, expected=expected)
