"""The detokenizer, re-decoding everything at every token: what is certain is what no later byte can change.

Quadratic on purpose. A vocabulary is a list of bytes, None where an id stands for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

# Every proper prefix of every well-formed character, by brute force over Unicode.
UNFINISHED = frozenset(
    encoded[:n]
    for point in range(0x80, 0x110000, 64)  # characters that differ in the last byte only share their prefixes
    if not 0xD800 <= point < 0xE000
    for encoded in [chr(point).encode()]
    for n in range(1, len(encoded))
)


def certain(data: bytes) -> str:
    """The text of `data` without a last character that later bytes could still complete."""
    n_held = next((n for n in (3, 2, 1) if data[-n:] in UNFINISHED and len(data) >= n), 0)
    return data[: len(data) - n_held].decode("utf-8", "replace")


def join(tokens: Sequence[bytes | None], ids: Sequence[int], dropped: Collection[int] = ()) -> bytes:
    """The bytes of ids; those the vocabulary lacks, and the dropped ones, give nothing."""
    return b"".join(tokens[i] or b"" for i in ids if 0 <= i < len(tokens) and i not in dropped)


class Detokenizer:
    def __init__(self, tokens: Sequence[bytes | None], dropped: Collection[int] = ()) -> None:
        self.tokens, self.dropped = tokens, dropped
        self.reset()

    def reset(self) -> None:
        self.data, self.shown = b"", ""

    def step(self, token_id: int) -> str:
        self.data += join(self.tokens, [token_id], self.dropped)
        text = certain(self.data)
        assert text.startswith(self.shown)
        piece, self.shown = text[len(self.shown) :], text
        return piece

    def finish(self) -> str:
        piece = self.data.decode("utf-8", "replace")[len(self.shown) :]
        self.reset()
        return piece
