"""A grammar of finitely many texts, and its masks by comparing every token with every text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

import logitwire as lw
from logitwire import errors

from . import mask as reference_mask


class Finite:
    """One of these texts."""

    def __init__(self, vocab: lw.Vocab, texts: Iterable[str]) -> None:
        self.vocab = vocab
        self.texts = sorted({text.encode() for text in texts})

    def matcher(self) -> FiniteMatcher:
        return FiniteMatcher(self)


class FiniteMatcher:
    def __init__(self, grammar: Finite, pieces: Sequence[bytes] = (), ended: bool = False) -> None:
        self.grammar = grammar
        self.pieces = list(pieces)
        self.ended = ended

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)

    def is_begun(self, text: bytes) -> bool:
        return any(whole.startswith(text) for whole in self.grammar.texts)

    def is_accepting(self) -> bool:
        return not self.ended and self.text in self.grammar.texts

    def is_terminated(self) -> bool:
        return self.ended

    def allows(self, token_id: int) -> bool:
        vocab = self.grammar.vocab
        if token_id in vocab.eos_ids:
            return self.is_accepting()
        try:
            token = b"" if vocab.is_special(token_id) else vocab.token_bytes(token_id)
        except errors.TokenIdError:
            return False
        return not self.ended and token != b"" and self.is_begun(self.text + token)

    def fill_mask(self, mask: NDArray[np.int32], row: int = 0) -> None:
        mask[row] = reference_mask.pack(np.array([self.allows(t) for t in range(len(self.grammar.vocab))]))

    def accept(self, token_id: int) -> bool:
        if not self.allows(token_id):
            return False
        self.ended = token_id in self.grammar.vocab.eos_ids
        self.pieces.append(b"" if self.ended else self.grammar.vocab.token_bytes(token_id))
        return True

    def accept_bytes(self, data: bytes) -> bool:
        if self.ended or not self.is_begun(self.text + data):
            return False
        self.pieces.append(data)
        return True

    def rollback(self, n: int = 1) -> None:
        del self.pieces[len(self.pieces) - n :]
        self.ended = False

    def fork(self) -> FiniteMatcher:
        return FiniteMatcher(self.grammar, self.pieces, self.ended)
