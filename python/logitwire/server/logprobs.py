"""Log-probabilities in the two shapes OpenAI gives them: chat and completions.

The token that ended a generation (an eos) is in neither, as it is not in the text. Tokens that make up a stop string
are in both, for they were drawn.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from logitwire.errors import TokenIdError

if TYPE_CHECKING:
    from logitwire._core import Vocab
    from logitwire.generation import Piece, TokenLogprob

_LOWEST = -9999.0
"""JSON has no -inf; this is what OpenAI sends for it."""


def shown(pieces: Sequence[Piece]) -> list[TokenLogprob]:
    """The log-probabilities of all pieces without that of the token that ended the generation."""
    tokens = [token for piece in pieces for token in piece.logprobs]
    ended_by_token = bool(pieces) and pieces[-1].finish_reason == "stop" and pieces[-1].stop is None
    return tokens[:-1] if ended_by_token else tokens


def chat_logprobs(vocab: Vocab, tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    def entry(token_id: int, logprob: float) -> dict[str, Any]:
        token = _token_bytes(vocab, token_id)
        text = token.decode("utf-8", "replace")
        return {"token": text, "logprob": _number(logprob), "bytes": list(token)}

    content = [
        entry(token.token_id, token.logprob) | {"top_logprobs": [entry(id, logprob) for id, logprob in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(vocab: Vocab, tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    """text_offset is in characters; a token that begins inside one has the offset of that character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    texts, logprobs, tops, offsets = [], [], [], []
    offset = 0
    for token in tokens:
        text = _token_bytes(vocab, token.token_id)
        texts.append(_as_string(text))
        logprobs.append(_number(token.logprob))
        tops.append({_as_string(_token_bytes(vocab, id)): _number(logprob) for id, logprob in token.top})
        offsets.append(offset)
        if text and not vocab.is_special(token.token_id):
            offset += len(decoder.decode(text))
    return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets}


def _number(logprob: float) -> float:
    """With the digits that tell a float32 from its neighbours, and no more."""
    return float(str(np.float32(max(logprob, _LOWEST))))


def _as_string(token: bytes) -> str:
    """A token's text; bytes that are no text by themselves as OpenAI writes them, `bytes:\\xe2\\x82`."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)


def _token_bytes(vocab: Vocab, token_id: int) -> bytes:
    # The row is the model's own, before ids the vocabulary lacks are masked: padding may be among its largest.
    try:
        return vocab.token_bytes(token_id)
    except TokenIdError:
        return b""
