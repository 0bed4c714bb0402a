"""A model that is a hash: the logits are decided by the ids before them, and by nothing else.

Equal contexts give equal bits whatever the batch, so anything that differs between batches is our doing. The same
function stands behind both levels of the model protocol.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np


def logits_after(ids: Sequence[int], vocab_size: int) -> np.ndarray:
    """float32 (vocab_size,), about normal with a standard deviation of 3."""
    digest = hashlib.blake2b(np.asarray(ids, "<i8").tobytes(), digest_size=8).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
    return (3.0 * rng.standard_normal(vocab_size)).astype(np.float32)


def null_callable(vocab_size: int) -> Callable[[Sequence[int]], np.ndarray]:
    return lambda token_ids: logits_after(token_ids, vocab_size)


class NullCache:
    def __init__(self, ids: Sequence[int] = ()) -> None:
        self.ids = list(ids)

    @property
    def len(self) -> int:
        return len(self.ids)

    def truncate(self, n: int, /) -> None:
        assert 0 <= n <= len(self.ids)
        del self.ids[n:]

    def fork(self) -> NullCache:
        return NullCache(self.ids)


class NullModel:
    """`convert` turns the float32 rows into what the model returns (torch, float16, read-only, ...)."""

    name = "null"

    def __init__(
        self,
        vocab_size: int,
        *,
        context_length: int | None = None,
        convert: Callable[[np.ndarray], Any] = lambda rows: rows,
        tokenizer: Any = None,
    ) -> None:
        self.vocab_size, self.convert, self.tokenizer = vocab_size, convert, tokenizer
        self.chat_template = None
        if context_length is not None:
            self.context_length = context_length
        self.calls: list[list[int]] = []
        """How many new tokens each row of each call had."""

    def new_cache(self) -> NullCache:
        return NullCache()

    def forward(
        self, rows: Sequence[tuple[NullCache, Sequence[int]]], *, positions: Literal["last", "all"] = "last"
    ) -> Any:
        assert len({id(cache) for cache, _ in rows}) == len(rows), "a cache twice in one call"
        self.calls.append([len(new) for _, new in rows])
        out = []
        for cache, new in rows:
            assert len(new) > 0, "a row without new tokens"
            for token in new:
                cache.ids.append(int(token))
                if positions == "all":
                    out.append(logits_after(cache.ids, self.vocab_size))
            if positions == "last":
                out.append(logits_after(cache.ids, self.vocab_size))
        return self.convert(np.stack(out))
