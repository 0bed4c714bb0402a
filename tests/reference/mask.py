"""The token bitmask, one token at a time: bit `t & 31` of word `t >> 5` is token t, 1 = allowed."""

from __future__ import annotations

import numpy as np


def n_words(vocab_size: int) -> int:
    return (vocab_size + 31) // 32


def pack(allowed: np.ndarray) -> np.ndarray:
    """bool (vocab_size,) to int32 (n_words,); the bits past the vocabulary are 0."""
    words = [0] * n_words(len(allowed))
    for token, bit in enumerate(allowed):
        if bit:
            words[token >> 5] |= 1 << (token & 31)
    return np.array(words, np.uint32).view(np.int32)


def unpack(words: np.ndarray, vocab_size: int) -> np.ndarray:
    """int32 (n_words,) to bool (vocab_size,)."""
    unsigned = [int(w) & 0xFFFFFFFF for w in words]
    return np.array([unsigned[t >> 5] >> (t & 31) & 1 == 1 for t in range(vocab_size)], bool)


def apply_mask(logits: np.ndarray, words: np.ndarray) -> np.ndarray:
    """A copy of one row with every masked logit -inf."""
    out = logits.copy()
    for token in range(len(out)):
        if not int(words[token >> 5]) >> (token & 31) & 1:
            out[token] = -np.inf
    return out
