"""The weights of a GGUF Llama in `transformers` on torch: an implementation that shares none of our arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def build(metadata: Mapping[str, Any], names: list[str], tensor: Callable[[str], NDArray[Any]]) -> LlamaForCausalLM:
    """tensor(name) gives a tensor of the file as floats; names are all of them."""
    n_heads, n_kv_heads = metadata["llama.attention.head_count"], metadata["llama.attention.head_count_kv"]
    config = LlamaConfig(
        vocab_size=tensor("token_embd.weight").shape[0],
        hidden_size=metadata["llama.embedding_length"],
        intermediate_size=metadata["llama.feed_forward_length"],
        num_hidden_layers=metadata["llama.block_count"],
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads,
        max_position_embeddings=metadata["llama.context_length"],
        rms_norm_eps=metadata["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": metadata["llama.rope.freq_base"]},
        tie_word_embeddings="output.weight" not in names,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
    )
    state = {}
    for name in names:
        array = tensor(name)
        if name.endswith("attn_q.weight"):
            array = _half_split(array, n_heads)
        elif name.endswith("attn_k.weight"):
            array = _half_split(array, n_kv_heads)
        state[_name(name)] = torch.from_numpy(np.array(array, np.float32))
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = LlamaForCausalLM(config)
    model.load_state_dict(state, strict=True)
    return model.eval()


def _name(name: str) -> str:
    if name.startswith("blk."):
        _, layer, kind, _ = name.split(".")
        return f"model.layers.{layer}.{_NAMES[kind]}.weight"
    whole = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    return whole[name.removesuffix(".weight")] + ".weight"


def _half_split(array: NDArray[Any], n_heads: int) -> NDArray[Any]:
    """GGUF rotates neighbours (0, 1), (2, 3), ...; transformers rotates halves (0, d/2), (1, d/2 + 1), ..."""
    out, dim = array.shape
    pairs = array.reshape(n_heads, out // n_heads // 2, 2, dim)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(out, dim)
