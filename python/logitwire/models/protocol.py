"""What a model is to logitwire: anything that maps tokens to logits. Two levels, told apart by duck typing.

1. A callable `f(token_ids) -> logits`, (vocab_size,) or (n_tokens, vocab_size); it keeps no state.
2. A `Model`: caches and ragged batches, for continuous batching.

Nothing here runs a model; the adapters beside this file do. What all of them refuse is `check_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from logitwire.errors import LimitError, ModelError, ParameterError, TokenIdError


@runtime_checkable
class Cache(Protocol):
    """The key-value cache of one sequence."""

    @property
    def len(self) -> int:
        """How many tokens it holds."""
        ...

    def truncate(self, n: int, /) -> None:
        """Keep the first n tokens; 0 <= n <= len, else ParameterError."""
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
    tokenizer, chat_template, name: what `Engine` and the server take where they are given nothing else;
    hidden(rows) -> (rows, dim): the last hidden state of each row, for embeddings.
    """

    @property
    def vocab_size(self) -> int | None:
        """The width of its logits, which may be more than the tokenizer has ids (padding).

        None while it is not known: a bare callable tells its width with its first logits. Once known it never changes.
        """
        ...

    def new_cache(self) -> Any:
        """An empty `Cache` of this model."""
        ...

    def forward(self, rows: Sequence[tuple[Any, Sequence[int]]], *, positions: Literal["last", "all"] = "last") -> Any:
        """Append each row's new tokens (at least one) to its cache, and return logits.

        rows: (cache, new_token_ids), of any lengths; no cache twice.
        positions="last": (rows, vocab_size), each row's last position. "all": (sum of lengths, vocab_size), row after
        row. An array on the CPU (numpy, torch, DLPack), or Candidates.

        When it raises, every cache is as it was before the call.
        """
        ...


def check_rows(
    model: Any, rows: Sequence[tuple[Any, Sequence[int]]], positions: str
) -> list[tuple[Any, NDArray[np.int64]]]:
    """The rows of a `forward`, or the error that tells what is wrong with them, before any cache is touched.

    A cache belongs to a model when its `model` is that model. Raises ParameterError (positions), ModelError (no rows,
    no tokens, a cache of another model or named twice), TokenIdError, LimitError (context_length).
    """
    if positions not in ("last", "all"):
        expected = '"last" or "all"'
        raise ParameterError(
            f"positions is {positions!r}, expected {expected}", field="positions", value=positions, expected=expected
        )
    if len(rows) == 0:
        raise ModelError("forward was called without rows")
    vocab_size: int | None = model.vocab_size
    context_length: int | None = getattr(model, "context_length", None)
    checked = []
    seen: set[int] = set()
    for index, (cache, new_ids) in enumerate(rows):
        if getattr(cache, "model", None) is not model:
            raise ModelError(
                f"row {index}: the cache is not one of this model's",
                hint="make it by this model's new_cache(), or by fork() of such a cache",
            )
        if id(cache) in seen:
            raise ModelError(f"row {index}: its cache is in an earlier row too", hint="fork() the cache")
        seen.add(id(cache))
        ids = _check_ids(index, new_ids, vocab_size)
        length = cache.len + len(ids)
        if context_length is not None and length > context_length:
            raise LimitError(
                f"row {index}: {cache.len} tokens and {len(ids)} new ones are more than the {context_length} "
                "the model can hold",
                limit="context_length",
                got=length,
                maximum=context_length,
            )
        checked.append((cache, ids))
    return checked


def check_truncation(n: int, length: int) -> None:
    """Raises ParameterError unless 0 <= n <= length."""
    if not 0 <= n <= length:
        expected = f"0..{length}"
        raise ParameterError(f"truncate: n is {n}, expected {expected}", field="n", value=n, expected=expected)


def _check_ids(index: int, new_ids: Sequence[int], vocab_size: int | None) -> NDArray[np.int64]:
    if len(new_ids) == 0:
        raise ModelError(f"row {index}: no new tokens")
    try:
        ids = np.asarray(new_ids)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TokenIdError(f"row {index}: the token ids are not a sequence of integers: {error}") from error
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        wrong = next((i for i in new_ids if type(i) is not int), None)
        raise TokenIdError(
            f"row {index}: token ids are integers in one dimension, not {ids.dtype} in {ids.ndim}"
            + (f" ({wrong!r})" if ids.ndim == 1 and wrong is not None else ""),
            vocab_size=vocab_size,
        )
    outside = ids < 0 if vocab_size is None else (ids < 0) | (ids >= vocab_size)
    if outside.any():
        wrong = int(ids[outside][0])
        known = "it is negative" if vocab_size is None else f"the vocabulary has 0..{vocab_size - 1}"
        raise TokenIdError(f"row {index}: no token {wrong}: {known}", token_id=wrong, vocab_size=vocab_size)
    return ids.astype(np.int64, copy=False)
