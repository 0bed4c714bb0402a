"""Log-probabilities in the two shapes OpenAI gives them: chat and completions.

The token that ended a generation (an eos) is in neither, as it is not in the text. Tokens that make up a stop string
are in both, for they were drawn.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from logitwire.errors import TokenIdError

if TYPE_CHECKING:
    from logitwire._core import Vocab
    from logitwire.engine import Piece, TokenLogprob

_LOWEST = -9999.0
"""JSON has no -inf; this is what OpenAI sends for it."""


def shown(piece: Piece) -> list[TokenLogprob]:
    """A piece's log-probabilities without that of the token that ended the generation."""
    ended_by_token = piece.finish_reason == "stop" and piece.stop is None
    return piece.logprobs[:-1] if ended_by_token else piece.logprobs


def chat_logprobs(vocab: Vocab, tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    def entry(token_id: int, logprob: float) -> dict[str, Any]:
        token = _token_bytes(vocab, token_id)
        text = token.decode("utf-8", "replace")
        return {"token": text, "logprob": max(logprob, _LOWEST), "bytes": list(token)}

    content = [
        entry(token.token_id, token.logprob) | {"top_logprobs": [entry(id, logprob) for id, logprob in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


class CompletionLogprobs:
    """One completion's log-probabilities, whose offsets count on from one piece to the next."""

    def __init__(self, vocab: Vocab) -> None:
        self._vocab = vocab
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def of(self, tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
        """text_offset is in characters; a token that begins inside one has the offset of that character."""
        texts, logprobs, tops, offsets = [], [], [], []
        for token in tokens:
            texts.append(self._text(token.token_id))
            logprobs.append(max(token.logprob, _LOWEST))
            tops.append({self._text(id): max(logprob, _LOWEST) for id, logprob in token.top})
            offsets.append(self._offset)
            if not self._is_special(token.token_id):
                self._offset += len(self._decoder.decode(_token_bytes(self._vocab, token.token_id)))
        return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets}

    def _text(self, token_id: int) -> str:
        """The token's text; bytes that are no text by themselves as OpenAI writes them, `bytes:\\\\xe2\\\\x82`."""
        token = _token_bytes(self._vocab, token_id)
        try:
            return token.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)

    def _is_special(self, token_id: int) -> bool:
        try:
            return self._vocab.is_special(token_id)
        except TokenIdError:
            return True


def _token_bytes(vocab: Vocab, token_id: int) -> bytes:
    # The row is the model's own, before ids the vocabulary lacks are masked: padding may be among its largest.
    try:
        return vocab.token_bytes(token_id)
    except TokenIdError:
        return b""
