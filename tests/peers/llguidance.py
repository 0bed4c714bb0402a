"""Masks of the llguidance library over the vocabulary of `grammar_support`, for schemas written compactly."""

from __future__ import annotations

import json
from typing import Any

import llguidance
import numpy as np
from grammar_support import END, TOKENS
from llguidance import LLMatcher
from numpy.typing import NDArray

COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


class Tokens:
    """What the library asks of a tokenizer: every byte is a token."""

    eos_token_id, bos_token_id = END, None
    tokens = [token or b"" for token in TOKENS]  # noqa: RUF012
    special_token_ids = [END - 1, END, *(i for i, token in enumerate(TOKENS) if token is None)]  # noqa: RUF012

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


TOKENIZER = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tokens()), n_vocab=len(TOKENS), eos_token=END, slices=[])


class RefusedError(Exception):
    """The library does not compile it."""


class Theirs:
    def __init__(self, kind: str, source: Any) -> None:
        if kind == "regex":
            grammar = LLMatcher.grammar_from_regex(source)
        else:
            grammar = LLMatcher.grammar_from_json_schema(json.dumps({**source, "x-guidance": COMPACT}))
        self.matcher = LLMatcher(TOKENIZER, grammar, log_level=0)
        if self.matcher.is_error():
            raise RefusedError(self.matcher.get_error())

    def bits(self) -> NDArray[np.bool_]:
        packed = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        return np.unpackbits(packed, bitorder="little")[: len(TOKENS)].astype(bool)

    def forced(self) -> bytes:
        """Bytes that must come next; the mask is then of one token that begins so."""
        return bytes(self.matcher.compute_ff_bytes())

    def accept(self, token_id: int) -> bool:
        return bool(self.matcher.consume_token(token_id))
