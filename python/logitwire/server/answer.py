"""The JSON of OpenAI's answers, whole and in chunks: every member the document requires is there, null or not.

The engine frames streams of text by itself; chunks are made here only where they carry log-probabilities. Knows
nothing of HTTP, nor where pieces come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from logitwire import sse

from .logprobs import CompletionLogprobs, chat_logprobs, shown

if TYPE_CHECKING:
    from logitwire._core import Vocab
    from logitwire.engine import Generation, Piece

Json = dict[str, Any]


def ready_frames(pieces: Sequence[Piece]) -> bytes:
    """What the engine framed."""
    return b"".join(piece.frames for piece in pieces)


def usage(generations: Sequence[Generation]) -> dict[str, int]:
    prompt = sum(generation.prompt_tokens for generation in generations)
    completion = sum(generation.completion_tokens for generation in generations)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class ChatAnswer:
    """identity: the answer's id, created and model. logprobs: whether log-probabilities are part of it."""

    def __init__(self, identity: Json, vocab: Vocab, *, logprobs: bool, include_usage: bool) -> None:
        self._identity = identity
        self._vocab = vocab
        self._logprobs = logprobs
        self._chunk = _chunk(identity, "chat.completion.chunk", include_usage)

    def whole(self, generation: Generation, pieces: Sequence[Piece]) -> bytes:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": _text(pieces), "refusal": None},
            "logprobs": self._logprobs_of(pieces),
            "finish_reason": generation.finish_reason,
        }
        body = {"object": "chat.completion", "choices": [choice], "usage": usage([generation])}
        return msgspec.json.encode(self._identity | body)

    def frames(self, pieces: Sequence[Piece]) -> bytes:
        frames = []
        for piece in pieces:
            if piece.text or shown(piece):
                frames.append(self._frame({"content": piece.text}, self._logprobs_of([piece]), None))
            if piece.finish_reason is not None:
                frames.append(self._frame({}, None, piece.finish_reason))
        return b"".join(frames)

    def _frame(self, delta: Json, logprobs: Json | None, finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return _frame(self._chunk, choice)

    def _logprobs_of(self, pieces: Sequence[Piece]) -> Json | None:
        if not self._logprobs:
            return None
        return chat_logprobs(self._vocab, [token for piece in pieces for token in shown(piece)])


class CompletionChoice:
    """The answer to one prompt of a completion, `index` among them all."""

    def __init__(self, identity: Json, vocab: Vocab, *, index: int, logprobs: bool, include_usage: bool) -> None:
        self._index = index
        self._logprobs = CompletionLogprobs(vocab) if logprobs else None
        self._chunk = _chunk(identity, "text_completion", include_usage)

    def whole(self, generation: Generation, pieces: Sequence[Piece]) -> Json:
        return self._choice(_text(pieces), self._logprobs_of(pieces), generation.finish_reason)

    def frames(self, pieces: Sequence[Piece]) -> bytes:
        frames = []
        for piece in pieces:
            if piece.text or shown(piece):
                frames.append(_frame(self._chunk, self._choice(piece.text, self._logprobs_of([piece]), None)))
            if piece.finish_reason is not None:
                frames.append(_frame(self._chunk, self._choice("", None, piece.finish_reason)))
        return b"".join(frames)

    def _choice(self, text: str, logprobs: Json | None, finish_reason: str | None) -> Json:
        return {"index": self._index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}

    def _logprobs_of(self, pieces: Sequence[Piece]) -> Json | None:
        if self._logprobs is None:
            return None
        return self._logprobs.of(token for piece in pieces for token in shown(piece))


def whole_completion(identity: Json, choices: Sequence[Json], generations: Sequence[Generation]) -> bytes:
    body = {"object": "text_completion", "choices": choices, "usage": usage(generations)}
    return msgspec.json.encode(identity | body)


def _chunk(identity: Json, kind: str, include_usage: bool) -> Json:
    # include_usage: "all other chunks will also include a usage field, but with a null value".
    return identity | {"object": kind} | ({"usage": None} if include_usage else {})


def _frame(chunk: Json, choice: Json) -> bytes:
    return sse.frame(msgspec.json.encode(chunk | {"choices": [choice]}).decode())


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
