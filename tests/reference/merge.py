"""How tiktoken and SentencePiece merge, as slowly as it can be said: the best pair of neighbours, the leftmost of
equals. And small files of both for tests.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable
from itertools import pairwise


def merge_best(pieces: list[str], rank: Callable[[str], float | None]) -> list[str]:
    """`rank` of a piece that there is, less is better; None of one that there is not."""
    pieces = list(pieces)
    while True:
        ranks = [rank(left + right) for left, right in pairwise(pieces)]
        best = min((r for r in ranks if r is not None), default=None)
        if best is None:
            return pieces
        at = ranks.index(best)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def rank_file(tokens: list[bytes]) -> bytes:
    """A tiktoken file of these tokens, the first of rank 0."""
    return b"".join(b"%s %d\n" % (b64encode(token), rank) for rank, token in enumerate(tokens))


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
BPE, UNIGRAM = 2, 1


def model_file(
    pieces: list[tuple[str, float, int]],
    *,
    model_type: int = BPE,
    byte_fallback: bool = False,
    add_dummy_prefix: bool = True,
    remove_extra_whitespaces: bool = False,
    treat_whitespace_as_suffix: bool = False,
) -> bytes:
    """A SentencePiece model, which is a protobuf message, without a charsmap."""

    def field(number: int, data: bytes) -> bytes:
        size, n = b"", len(data)
        while n > 127:
            size, n = size + bytes([n & 127 | 128]), n >> 7
        return bytes([number << 3 | 2]) + size + bytes([n]) + data

    out = b""
    for text, score, kind in pieces:
        out += field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + bytes([0x18, kind]))
    trainer = bytes([0x18, model_type, 0xC0, 1, treat_whitespace_as_suffix, 0x98, 2, byte_fallback])
    normalizer = bytes([0x18, add_dummy_prefix, 0x20, remove_extra_whitespaces])
    return out + field(2, trainer) + field(3, normalizer)
