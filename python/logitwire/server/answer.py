"""The JSON of OpenAI's whole answers: every member the document requires is there, null or not.

Streams are framed by the engine. Knows nothing of HTTP, nor where pieces come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from .logprobs import chat_logprobs, completion_logprobs, shown

if TYPE_CHECKING:
    from logitwire._core import Vocab
    from logitwire.generation import Generation, Piece

Json = dict[str, Any]


def usage(generations: Sequence[Generation]) -> dict[str, int]:
    prompt = sum(generation.prompt_tokens for generation in generations)
    completion = sum(generation.completion_tokens for generation in generations)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def whole_chat(identity: Json, vocab: Vocab, generation: Generation, pieces: Sequence[Piece]) -> bytes:
    """identity: the answer's id, created and model."""
    asked = generation.request.params.logprobs is not None
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": _text(pieces), "refusal": None},
        "logprobs": chat_logprobs(vocab, shown(pieces)) if asked else None,
        "finish_reason": generation.finish_reason,
    }
    body = {"object": "chat.completion", "choices": [choice], "usage": usage([generation])}
    return msgspec.json.encode(identity | body)


def whole_completion(
    identity: Json, vocab: Vocab, generations: Sequence[Generation], pieces: Sequence[Sequence[Piece]]
) -> bytes:
    """One choice for each generation, in their order."""
    choices = [
        {
            "index": index,
            "text": _text(own),
            "logprobs": completion_logprobs(vocab, shown(own))
            if generation.request.params.logprobs is not None
            else None,
            "finish_reason": generation.finish_reason,
        }
        for index, (generation, own) in enumerate(zip(generations, pieces, strict=True))
    ]
    body = {"object": "text_completion", "choices": choices, "usage": usage(generations)}
    return msgspec.json.encode(identity | body)


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
