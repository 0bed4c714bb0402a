"""Any `f(token_ids) -> logits` as a `Model`. The caches are the tokens themselves; f sees all of them every time.

Nothing here keeps state between calls, and no framework is imported: torch rows stay torch, the rest becomes numpy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from logitwire.errors import ModelError
from logitwire.models.protocol import check_rows, check_truncation


class TokenCache:
    """The tokens of one sequence."""

    __slots__ = ("_ids", "model")

    def __init__(self, model: FunctionModel, ids: Sequence[int] = ()) -> None:
        self.model = model
        self._ids = list(ids)

    @property
    def len(self) -> int:
        return len(self._ids)

    def truncate(self, n: int, /) -> None:
        check_truncation(n, len(self._ids))
        del self._ids[n:]

    def fork(self) -> TokenCache:
        return TokenCache(self.model, self._ids)


class FunctionModel:
    """f(token_ids: list[int]) -> logits of the next token, (vocab_size,), or of every position, (n_tokens, vocab_size).

    `vocab_size` is None until f was called once; then it is the width of its logits, and any other width is a
    ModelError. What f raises comes out as a ModelError with f's error as its cause.
    """

    context_length = None

    def __init__(self, function: Callable[[list[int]], Any]) -> None:
        self.vocab_size: int | None = None
        self._function = function

    def new_cache(self) -> TokenCache:
        return TokenCache(self)

    def forward(
        self, rows: Sequence[tuple[TokenCache, Sequence[int]]], *, positions: Literal["last", "all"] = "last"
    ) -> Any:
        """See `Model.forward`. positions="all" takes one call a row if f gives every position, else one a position."""
        sequences = [(cache, [*cache._ids, *ids.tolist()]) for cache, ids in check_rows(self, rows, positions)]
        out = []
        for cache, ids in sequences:
            wanted = len(ids) - cache.len if positions == "all" else 1
            logits = self._call(ids)
            if logits.ndim == 2:
                out.append(logits[len(ids) - wanted :])
            else:
                shorter = (self._call(ids[:end]) for end in range(len(ids) - wanted + 1, len(ids)))
                out.extend(row[None] if row.ndim == 1 else row[-1:] for row in (*shorter, logits))
        for cache, ids in sequences:
            cache._ids = ids
        if len(out) == 1:
            return out[0]
        return sys.modules["torch"].cat(out) if _is_torch(out[0]) else np.concatenate(out)

    def _call(self, ids: list[int]) -> Any:
        try:
            logits = self._function(list(ids))
        except Exception as error:
            raise ModelError(f"the model raised {type(error).__name__}: {error}") from error
        logits = logits.detach() if _is_torch(logits) else _real_array(logits)
        if logits.ndim not in (1, 2) or (logits.ndim == 2 and len(logits) != len(ids)) or logits.shape[-1] == 0:
            raise ModelError(
                f"the model gave logits of shape {tuple(logits.shape)} for {len(ids)} tokens, expected (vocab_size,) "
                f"or ({len(ids)}, vocab_size)"
            )
        width = int(logits.shape[-1])
        if self.vocab_size is None:
            self.vocab_size = width
        elif width != self.vocab_size:
            raise ModelError(f"the model's logits were {self.vocab_size} wide and are now {width}")
        return logits


def _is_torch(array: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def _real_array(logits: Any) -> Any:
    """float32 and float16 as they are; other numbers rounded to float32, which is what the line computes in.

    No warning where one is too large for it: the infinity it becomes has its own status in the sampler.
    """
    try:
        array = np.asarray(logits)
        if array.dtype in (np.float32, np.float16):
            return array
        with np.errstate(over="ignore", under="ignore"):
            return array.astype(np.float32, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise ModelError(f"the model gave {type(logits).__name__}, which is no array of logits: {error}") from error
