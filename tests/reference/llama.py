"""The Llama of `logitwire.models.llama`, slow and obvious: no cache, no batch, one position and one head at a time, in
float64, each formula as its paper has it. It also makes the tiny random models the tests run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference.gguf import Quantized

Float64 = NDArray[np.float64]


def tiny(seed: int, *, tied: bool = True, tensor_type: str = "F32") -> tuple[dict[str, Any], dict[str, Quantized]]:
    """Metadata and tensors of a random model: 3 layers, dim 64, 4 heads over 2, vocabulary 96, context 300."""
    rng = np.random.default_rng(seed)
    dim, ffn_dim, n_heads, n_kv_heads, vocab_size = 64, 96, 4, 2, 96
    kv_dim = dim // n_heads * n_kv_heads
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 3,
        "llama.context_length": 300,
        "llama.embedding_length": dim,
        "llama.feed_forward_length": ffn_dim,
        "llama.attention.head_count": n_heads,
        "llama.attention.head_count_kv": n_kv_heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": dim // n_heads,
        "llama.vocab_size": vocab_size,
    }

    def matrix(*shape: int) -> Quantized:
        # Wide enough that attention is far from uniform and logits are far apart.
        return Quantized(rng.normal(0.0, 1.5 / math.sqrt(shape[-1]), shape), tensor_type)

    def gain() -> Quantized:
        return Quantized(rng.uniform(0.5, 1.5, dim), "F32")

    tensors = {"token_embd.weight": matrix(vocab_size, dim)}
    for i in range(metadata["llama.block_count"]):
        tensors |= {
            f"blk.{i}.attn_norm.weight": gain(),
            f"blk.{i}.attn_q.weight": matrix(dim, dim),
            f"blk.{i}.attn_k.weight": matrix(kv_dim, dim),
            f"blk.{i}.attn_v.weight": matrix(kv_dim, dim),
            f"blk.{i}.attn_output.weight": matrix(dim, dim),
            f"blk.{i}.ffn_norm.weight": gain(),
            f"blk.{i}.ffn_gate.weight": matrix(ffn_dim, dim),
            f"blk.{i}.ffn_up.weight": matrix(ffn_dim, dim),
            f"blk.{i}.ffn_down.weight": matrix(dim, ffn_dim),
        }
    tensors["output_norm.weight"] = gain()
    if not tied:
        tensors["output.weight"] = matrix(vocab_size, dim)
    return metadata, tensors


def logits(metadata: Mapping[str, Any], tensors: Mapping[str, Quantized], token_ids: Sequence[int]) -> Float64:
    """(len(token_ids), vocab_size): after each position, what comes next."""
    n_heads = metadata["llama.attention.head_count"]
    n_kv_heads = metadata["llama.attention.head_count_kv"]
    head_dim = metadata["llama.embedding_length"] // n_heads
    epsilon = metadata["llama.attention.layer_norm_rms_epsilon"]
    base = metadata["llama.rope.freq_base"]

    def weight(name: str) -> Float64:
        return tensors[name + ".weight"].values

    def rms_norm(x: Float64, gain: Float64) -> Float64:
        return x / math.sqrt(np.mean(x * x) + epsilon) * gain

    def rotate(head: Float64, position: int) -> Float64:
        turned = np.empty(head_dim)
        for pair in range(head_dim // 2):
            angle = position * base ** (-2 * pair / head_dim)
            a, b = head[2 * pair], head[2 * pair + 1]
            turned[2 * pair] = a * math.cos(angle) - b * math.sin(angle)
            turned[2 * pair + 1] = a * math.sin(angle) + b * math.cos(angle)
        return turned

    stream = [weight("token_embd")[token_id] for token_id in token_ids]
    for i in range(metadata["llama.block_count"]):
        block = f"blk.{i}."
        queries, keys, values = [], [], []
        for position, x in enumerate(stream):
            h = rms_norm(x, weight(block + "attn_norm"))
            heads = (weight(block + "attn_q") @ h).reshape(n_heads, head_dim)
            queries.append([rotate(head, position) for head in heads])
            heads = (weight(block + "attn_k") @ h).reshape(n_kv_heads, head_dim)
            keys.append([rotate(head, position) for head in heads])
            values.append((weight(block + "attn_v") @ h).reshape(n_kv_heads, head_dim))
        for position in range(len(stream)):
            mixed = []
            for head in range(n_heads):
                kv_head = head * n_kv_heads // n_heads
                scores = [
                    queries[position][head] @ keys[earlier][kv_head] / math.sqrt(head_dim)
                    for earlier in range(position + 1)
                ]
                shares = [math.exp(score - max(scores)) for score in scores]
                mixed.append(
                    sum(share * values[earlier][kv_head] for earlier, share in enumerate(shares)) / sum(shares)
                )
            stream[position] = stream[position] + weight(block + "attn_output") @ np.concatenate(mixed)
        for position, x in enumerate(stream):
            h = rms_norm(x, weight(block + "ffn_norm"))
            gate, up = weight(block + "ffn_gate") @ h, weight(block + "ffn_up") @ h
            silu = np.array([g / (1 + math.exp(min(-g, 700.0))) for g in gate])
            stream[position] = x + weight(block + "ffn_down") @ (silu * up)
    output = weight("output" if "output.weight" in tensors else "token_embd")
    return np.array([output @ rms_norm(x, weight("output_norm")) for x in stream])


def log_softmax(rows: NDArray[Any]) -> Float64:
    rows = np.asarray(rows, np.float64)
    rows = rows - rows.max(axis=-1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))
