"""What a model is to logitwire: anything that maps tokens to logits. Two levels, told apart by duck typing.

1. A callable `f(token_ids) -> logits`, (vocab_size,) or (n_tokens, vocab_size); it keeps no state.
2. A `Model`: caches and ragged batches, for continuous batching.

Nothing here runs a model; the adapters beside this file do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable


@runtime_checkable
class Cache(Protocol):
    """The key-value cache of one sequence."""

    @property
    def len(self) -> int:
        """How many tokens it holds."""
        ...

    def truncate(self, n: int, /) -> None:
        """Keep the first n tokens; 0 <= n <= len."""
        ...

    def fork(self) -> Cache:
        """An independent copy: what is appended to one does not show in the other."""
        ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows of logits that a device reduced to their k largest before they came to the host."""

    ids: Any
    """int32 (rows, k); -1 is padding."""
    logits: Any
    """float32, float16 or bfloat16 (rows, k)."""
    logsumexp: Any
    """float32 (rows,): log(sum(exp(row))) of each full row."""


@runtime_checkable
class Model(Protocol):
    """A model with caches. It may also offer:

    context_length: int, the most tokens a cache can hold;
    hidden(rows) -> (rows, dim): the last hidden state of each row, for embeddings.
    """

    vocab_size: int
    """The width of its logits, which may be more than the tokenizer has ids (padding)."""

    def new_cache(self) -> Cache: ...

    def forward(
        self, rows: Sequence[tuple[Any, Sequence[int]]], *, positions: Literal["last", "all"] = "last"
    ) -> Any:
        """Append each row's new tokens (at least one) to its cache, and return logits.

        rows: (cache, new_token_ids), of any lengths; no cache twice.
        positions="last": (rows, vocab_size), each row's last position. "all": (sum of lengths, vocab_size), row after
        row. An array on the CPU (numpy, torch, DLPack), or Candidates.
        """
        ...
