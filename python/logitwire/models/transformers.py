"""A causal language model of `transformers` as a `Model`, on torch; a `DynamicCache` for each row.

torch and transformers are imported when a model is adapted, not before. Ragged rows run one after the other: nothing is
padded, so a row's logits do not depend on its neighbours.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from logitwire.errors import ModelError
from logitwire.models.protocol import check_rows, check_truncation


class TransformersCache:
    """The keys and values of one sequence, as `transformers` keeps them."""

    __slots__ = ("_past", "model")

    def __init__(self, model: TransformersModel, past: Any) -> None:
        self.model = model
        self._past = past

    @property
    def len(self) -> int:
        return int(self._past.get_seq_length())

    def truncate(self, n: int, /) -> None:
        check_truncation(n, self.len)
        self._crop(n)

    def fork(self) -> TransformersCache:
        return TransformersCache(self.model, copy.deepcopy(self._past))

    def _crop(self, n: int) -> None:
        # Layer by layer: a forward that failed half way has left them of different lengths.
        if n == 0:
            self._past = type(self._past)()
        for layer in self._past.layers:
            if (extra := layer.get_seq_length() - n) > 0:
                layer.crop(-extra)


class TransformersModel:
    """See `logitwire.models.from_transformers`."""

    def __init__(self, causal_lm: Any) -> None:
        import torch
        from transformers import DynamicCache, PreTrainedModel

        if not isinstance(causal_lm, PreTrainedModel):
            raise ModelError(f"{type(causal_lm).__name__} is not a model of transformers")
        head = causal_lm.get_output_embeddings()
        if head is None or causal_lm.config.is_encoder_decoder:
            raise ModelError(
                f"{type(causal_lm).__name__} is not a causal language model", hint="load it by AutoModelForCausalLM"
            )
        if causal_lm._is_stateful:
            raise ModelError(f"{type(causal_lm).__name__} keeps a state that cannot be cut back to fewer tokens")
        if causal_lm.training:
            raise ModelError("the model is in training mode, its logits would be random", hint="call model.eval()")
        self._torch = torch
        self._new_past = DynamicCache
        self._causal_lm = causal_lm
        self.vocab_size = int(head.weight.shape[0])
        self.context_length: int | None = getattr(causal_lm.config.get_text_config(), "max_position_embeddings", None)
        self.name: str | None = causal_lm.name_or_path or None

    def new_cache(self) -> TransformersCache:
        return TransformersCache(self, self._new_past())

    def forward(
        self, rows: Sequence[tuple[TransformersCache, Sequence[int]]], *, positions: Literal["last", "all"] = "last"
    ) -> Any:
        """See `Model.forward`. The logits are a torch tensor on the CPU, in the model's dtype (float32 for float64)."""
        checked = check_rows(self, rows, positions)
        lengths = [cache.len for cache, _ in checked]
        try:
            with self._torch.no_grad():
                out = [self._forward_row(cache, ids, positions) for cache, ids in checked]
                return out[0] if len(out) == 1 else self._torch.cat(out)
        except BaseException as error:
            for (cache, _), length in zip(checked, lengths, strict=True):
                cache._crop(length)
            if isinstance(error, Exception):
                raise ModelError(f"the model raised {type(error).__name__}: {error}") from error
            raise

    def _forward_row(self, cache: TransformersCache, ids: Any, positions: str) -> Any:
        output = self._causal_lm(
            input_ids=self._torch.from_numpy(np.ascontiguousarray(ids))[None].to(self._causal_lm.device),
            past_key_values=cache._past,
            use_cache=True,
            logits_to_keep=1 if positions == "last" else 0,
        )
        logits = output.logits[0]  # (1 | len(ids), vocab_size)
        dtype = self._torch.float32 if logits.dtype == self._torch.float64 else logits.dtype
        return logits.to(device="cpu", dtype=dtype)
