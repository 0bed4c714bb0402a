"""A Llama read from a GGUF file, in numpy and float32: grouped-query attention, RMSNorm, SwiGLU, interleaved RoPE.

Nothing here parses a file (the core's `Gguf` does) or fetches one (`pull`). What a file asks for beyond this
architecture is refused at load, never ignored.

A decode step reads every weight once, so its speed is the memory's. numpy's BLAS waits by spinning: where other
processes want the same cores, OPENBLAS_NUM_THREADS=1 in the environment is several times faster than the default.
"""

from __future__ import annotations

import mmap
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from logitwire._core import ChatTemplate, Gguf, Tokenizer
from logitwire.errors import LogitwireError, ModelFileError
from logitwire.models.protocol import check_rows, check_truncation

Float32 = NDArray[np.float32]

_LARGEST_NUMBER = 2**31 - 1
"""Of any hyperparameter; far beyond every model, and positions fit any integer there is."""

_SMALLEST_CACHE = 64
_QUERY_BLOCK = 128
"""Queries whose scores are held at once: a long prefill needs heads * block * context floats, not context squared."""

_NEUTRAL: dict[str, object] = {
    "expert_count": 0,
    "expert_used_count": 0,
    "rope.scaling.type": "none",
    "rope.scaling.factor": 1.0,
    "rope.scale_linear": 1.0,
    "attention.sliding_window": 0,
}
"""Keys that ask for nothing when they have this value, and for something we lack when they have another."""


class _Layer(NamedTuple):
    """Weights as (in, out), which BLAS reads about a quarter faster than the file's (out, in) at small batches.

    The norms' gains are multiplied into the matrices that follow them, 1 / sqrt(head_dim) into the queries'.
    """

    qkv: Float32  # (dim, (n_heads + 2 * n_kv_heads) * head_dim)
    attention_output: Float32  # (n_heads * head_dim, dim)
    gate_up: Float32  # (dim, 2 * ffn_dim)
    down: Float32  # (ffn_dim, dim)


class LlamaCache:
    """Keys and values of one sequence; room for them doubles as it fills."""

    __slots__ = ("_kv", "_len", "model")

    def __init__(self, model: LlamaGguf) -> None:
        self.model = model
        self._len = 0
        self._kv = self._room(0)  # (n_layers, 2, n_kv_heads, capacity, head_dim)

    @property
    def len(self) -> int:
        return self._len

    def truncate(self, n: int, /) -> None:
        check_truncation(n, self._len)
        self._len = n

    def fork(self) -> LlamaCache:
        twin = LlamaCache(self.model)
        twin._reserve(self._len)
        twin._kv[:, :, :, : self._len] = self._kv[:, :, :, : self._len]
        twin._len = self._len
        return twin

    def _room(self, capacity: int) -> Float32:
        model = self.model
        return np.empty((len(model._layers), 2, model._n_kv_heads, capacity, model._head_dim), np.float32)

    def _reserve(self, n: int) -> None:
        capacity = self._kv.shape[3]
        if n <= capacity:
            return
        kv = self._room(min(max(n, 2 * capacity, _SMALLEST_CACHE), self.model.context_length))
        kv[:, :, :, : self._len] = self._kv[:, :, :, : self._len]
        self._kv = kv


class LlamaGguf:
    """A `Model` in one GGUF file of architecture "llama", with the tokenizer and chat template it carries.

    Raises ModelFileError, naming key or tensor, on a file that is broken or needs what is not here (rope scaling,
    experts, biases, ...); TokenizerError or TemplateError on a tokenizer or template that is not supported.
    """

    def __init__(self, path: str | PathLike[str], *, name: str | None = None) -> None:
        gguf = open_gguf(path)
        # No warnings, as in forward: a file may hold any number, and what overflows here is a NaN row there.
        with _named(path), np.errstate(all="ignore"):
            self._read(gguf)
        self.name = Path(path).stem if name is None else name

    def _read(self, gguf: Gguf) -> None:
        file = _Weights(gguf)
        n_layers = file.positive("block_count")
        dim = file.positive("embedding_length")
        ffn_dim = file.positive("feed_forward_length")
        n_heads = file.positive("attention.head_count")
        n_kv_heads = file.positive("attention.head_count_kv", n_heads)
        head_dim = file.positive("attention.key_length", dim // n_heads)
        rope_base = file.number("rope.freq_base", 10000.0, least=1.0)
        self._epsilon = np.float32(file.number("attention.layer_norm_rms_epsilon", most=1.0))
        self.context_length = file.positive("context_length")
        for key, expected in (
            ("attention.key_length", head_dim),
            ("attention.value_length", head_dim),
            ("rope.dimension_count", head_dim),
        ):
            if (got := file.positive(key, expected)) != expected:
                raise ModelFileError(f"llama.{key} is {got}, only {expected} is supported")
        if n_heads % n_kv_heads or head_dim % 2:
            raise ModelFileError(
                f"{n_heads} heads of {head_dim} over {n_kv_heads} key-value heads: the heads must divide evenly and "
                "their size be even"
            )
        file.refuse_the_rest()

        self._n_heads, self._n_kv_heads, self._head_dim = n_heads, n_kv_heads, head_dim
        self.vocab_size = file.rows("token_embd.weight")
        q_dim, kv_dim = n_heads * head_dim, n_kv_heads * head_dim
        scale = np.float32(head_dim**-0.5)
        self._layers = []
        for i in range(n_layers):
            attention_norm = file.tensor(f"blk.{i}.attn_norm.weight", dim)
            ffn_norm = file.tensor(f"blk.{i}.ffn_norm.weight", dim)
            self._layers.append(
                _Layer(
                    qkv=_columns(
                        file.tensor(f"blk.{i}.attn_q.weight", q_dim, dim) * scale,
                        file.tensor(f"blk.{i}.attn_k.weight", kv_dim, dim),
                        file.tensor(f"blk.{i}.attn_v.weight", kv_dim, dim),
                        gain=attention_norm,
                    ),
                    attention_output=_columns(file.tensor(f"blk.{i}.attn_output.weight", dim, q_dim)),
                    gate_up=_columns(
                        file.tensor(f"blk.{i}.ffn_gate.weight", ffn_dim, dim),
                        file.tensor(f"blk.{i}.ffn_up.weight", ffn_dim, dim),
                        gain=ffn_norm,
                    ),
                    down=_columns(file.tensor(f"blk.{i}.ffn_down.weight", dim, ffn_dim)),
                )
            )
        self._output_norm = file.tensor("output_norm.weight", dim)
        embedding = file.tensor("token_embd.weight", self.vocab_size, dim)
        if "output.weight" in file.tensors:
            self._embedding = embedding  # (vocab_size, dim)
            self._output = _columns(file.tensor("output.weight", self.vocab_size, dim))  # (dim, vocab_size)
        else:  # tied: one matrix, of which the embedding is a view
            self._output = _columns(embedding)
            self._embedding = self._output.T
        file.refuse_unread_tensors()
        # Only now: until a tensor had its shape, head_dim was but the file's word.
        self._frequencies = rope_base ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)

        has_tokenizer = "tokenizer.ggml.model" in file.metadata
        self.tokenizer: Tokenizer | None = Tokenizer.from_gguf(gguf) if has_tokenizer else None
        self.chat_template: ChatTemplate | None = _chat_template(file.metadata)
        if self.tokenizer is not None and len(self.tokenizer) > self.vocab_size:
            raise ModelFileError(
                f"the tokenizer has {len(self.tokenizer)} tokens, token_embd.weight only {self.vocab_size} rows"
            )

    def new_cache(self) -> LlamaCache:
        return LlamaCache(self)

    def forward(
        self, rows: Sequence[tuple[LlamaCache, Sequence[int]]], *, positions: Literal["last", "all"] = "last"
    ) -> Float32:
        """See `Model.forward`. Logits are a new float32 array; they are NaN where the weights make them so.

        Raises what `check_rows` does, and MemoryError, before any cache has changed.
        """
        checked = check_rows(self, rows, positions)
        caches = [cache for cache, _ in checked]
        starts = [cache.len for cache in caches]
        lengths = [len(ids) for _, ids in checked]
        for cache, start, length in zip(caches, starts, lengths, strict=True):
            cache._reserve(start + length)

        ends = np.cumsum(lengths)  # of each row in the concatenation of all tokens
        position = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
        rotation = np.exp(1j * np.outer(position, self._frequencies)).astype(np.complex64)[:, None]
        spans = [slice(end - n, end) for end, n in zip(ends.tolist(), lengths, strict=True)]
        # No warnings: broken weights make NaN, and a NaN row has its own status in the sampler.
        with np.errstate(all="ignore"):
            x = self._embedding[np.concatenate([ids for _, ids in checked])]  # (tokens, dim)
            attended = np.empty((len(x), self._n_heads * self._head_dim), np.float32)
            for i, layer in enumerate(self._layers):
                qkv = (self._normalize(x) @ layer.qkv).reshape(len(x), -1, self._head_dim)
                queries, keys, values = np.split(qkv, (self._n_heads, self._n_heads + self._n_kv_heads), axis=1)
                turned = qkv.view(np.complex64)[:, : -self._n_kv_heads]
                turned *= rotation
                for cache, start, span in zip(caches, starts, spans, strict=True):
                    stop = start + span.stop - span.start
                    cache_keys, cache_values = cache._kv[i, :, :, :stop]  # (n_kv_heads, stop, head_dim) each
                    cache_keys[:, start:] = keys[span].swapaxes(0, 1)
                    cache_values[:, start:] = values[span].swapaxes(0, 1)
                    _attend(queries[span], cache_keys, cache_values, out=attended[span])
                x += attended @ layer.attention_output
                gate, up = np.split(self._normalize(x) @ layer.gate_up, 2, axis=1)
                x += (_silu(gate) * up) @ layer.down
            if positions == "last":
                x = x[ends - 1]
            x = self._normalize(x)
            x *= self._output_norm
            logits: Float32 = x @ self._output
        # Only now: a failure above leaves what it wrote beyond each cache's end.
        for cache, start, length in zip(caches, starts, lengths, strict=True):
            cache._len = start + length
        return logits

    def _normalize(self, x: Float32) -> Float32:
        mean_square = np.einsum("td,td->t", x, x) / np.float32(x.shape[1])
        normalized: Float32 = x / np.sqrt(mean_square + self._epsilon)[:, None]
        return normalized


def _attend(queries: Float32, keys: Float32, values: Float32, *, out: Float32) -> None:
    """Causal attention of the last tokens of one sequence.

    queries: (n, n_heads, head_dim), scaled. keys, values: (n_kv_heads, length, head_dim), the n included.
    out: (n, n_heads * head_dim). Head h reads key-value head h // (n_heads // n_kv_heads).
    """
    n, n_heads, head_dim = queries.shape
    n_kv_heads, length, _ = keys.shape
    group = n_heads // n_kv_heads
    # As (kv head, head of its group, query, ...): one query is then a vector, twice as fast in BLAS as a matrix.
    queries = queries.reshape(n, n_kv_heads, group, head_dim).transpose(1, 2, 0, 3)
    out = out.reshape(n, n_kv_heads, group, head_dim).transpose(1, 2, 0, 3)
    keys, values = keys[:, None].swapaxes(2, 3), values[:, None]
    for begin in range(0, n, _QUERY_BLOCK):
        end = min(begin + _QUERY_BLOCK, n)
        visible = length - n + end  # no query of this block sees further
        scores = queries[:, :, begin:end] @ keys[..., :visible]
        if end - begin > 1:
            newest = scores[..., visible - (end - begin) :]
            np.copyto(newest, -np.inf, where=~np.tri(end - begin, dtype=bool))
        scores -= scores.max(axis=3, keepdims=True)
        np.exp(scores, out=scores)
        mixed = scores @ values[:, :, :visible]  # divided after the product: fewer numbers to divide
        np.divide(mixed, scores.sum(axis=3, keepdims=True), out=out[:, :, begin:end])


def _silu(x: Float32) -> Float32:
    """x * sigmoid(x). Where exp overflows to inf, x / inf is the 0 it should be."""
    silu: Float32 = x / (1 + np.exp(-x))
    return silu


def _columns(*weights: Float32, gain: Float32 | None = None) -> Float32:
    """Matrices (out, in), as the file has them, side by side as one (in, sum of outs); gain scales the inputs."""
    columns = np.empty((weights[0].shape[1], sum(len(weight) for weight in weights)), np.float32)
    start = 0
    for weight in weights:
        # In strips, which stay in the processor's cache: five times as fast as one transposing copy.
        for i in range(0, len(weight), 128):
            strip = weight[i : i + 128].T
            columns[:, start + i : start + i + strip.shape[1]] = strip if gain is None else strip * gain[:, None]
        start += len(weight)
    return columns


def open_gguf(path: str | PathLike[str]) -> Gguf:
    """The file, mapped and its header read; errors name it. Raises ModelFileError."""
    with _named(path):
        try:
            with open(path, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ModelFileError(f"cannot be read: {error.strerror}") from error
        except ValueError as error:  # how mmap refuses an empty file
            raise ModelFileError("the file is empty", offset=0) from error
        return Gguf(mapped)


@contextmanager
def _named(path: str | PathLike[str]) -> Iterator[None]:
    """What goes wrong with a file's content inside is a ModelFileError that names the file."""
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{fspath(path)}: {error}", hint=error.hint, offset=error.offset) from error
    except LogitwireError:
        raise
    except MemoryError as error:
        raise ModelFileError(f"{fspath(path)}: there is not enough memory for it") from error
    except (OverflowError, ValueError) as error:
        raise ModelFileError(f"{fspath(path)}: {error}") from error


def _chat_template(metadata: Mapping[str, Any]) -> ChatTemplate | None:
    source = metadata.get("tokenizer.chat_template")
    if source is None:
        return None
    tokens = metadata.get("tokenizer.ggml.tokens", [])
    if not isinstance(source, str) or not isinstance(tokens, list):
        raise ModelFileError("tokenizer.chat_template is not a text, or tokenizer.ggml.tokens not a list")

    def text(key: str) -> str:
        token_id = metadata.get(key)
        return str(tokens[token_id]) if isinstance(token_id, int) and 0 <= token_id < len(tokens) else ""

    return ChatTemplate(
        source, bos_token=text("tokenizer.ggml.bos_token_id"), eos_token=text("tokenizer.ggml.eos_token_id")
    )


class _Weights:
    """One reading of a GGUF file's hyperparameters and tensors, which knows at the end what nobody asked for."""

    def __init__(self, gguf: Gguf) -> None:
        self.metadata, self.tensors = gguf.metadata, gguf.tensors  # once: each is made anew from the core's
        architecture = self.metadata.get("general.architecture")
        if architecture != "llama":
            raise ModelFileError(f"general.architecture is {reprlib.repr(architecture)}, only 'llama' is supported")
        self._gguf = gguf
        self._read = {"llama.vocab_size"}  # says the same as token_embd.weight's shape, which decides

    def positive(self, key: str, default: int | None = None) -> int:
        value = self._value(key, default)
        if type(value) is not int or not 1 <= value <= _LARGEST_NUMBER:
            raise ModelFileError(
                f"llama.{key} is {reprlib.repr(value)}, expected a positive integer up to {_LARGEST_NUMBER}"
            )
        return value

    def number(self, key: str, default: float | None = None, *, least: float = 1e-30, most: float = 1e30) -> float:
        value = self._value(key, default)
        if type(value) not in (int, float) or not least <= value <= most:
            raise ModelFileError(f"llama.{key} is {reprlib.repr(value)}, expected a number from {least} to {most}")
        return float(value)

    def _value(self, key: str, default: object) -> Any:
        self._read.add(f"llama.{key}")
        value = self.metadata.get(f"llama.{key}", default)
        if value is None:
            raise ModelFileError(f"llama.{key} is missing")
        return value

    def refuse_the_rest(self) -> None:
        for key, value in self.metadata.items():
            name = key.removeprefix("llama.")
            if name != key and key not in self._read and (name not in _NEUTRAL or value != _NEUTRAL[name]):
                raise ModelFileError(f"{key} is {reprlib.repr(value)}, which is not supported")

    def rows(self, name: str) -> int:
        shape = self._shape(name)
        if len(shape) != 2 or 0 in shape:
            raise ModelFileError(f"tensor {name} has shape {shape}, expected a matrix")
        return shape[0]

    def tensor(self, name: str, *shape: int) -> Float32:
        if (got := self._shape(name)) != shape:
            raise ModelFileError(f"tensor {name} has shape {got}, expected {shape}")
        self._read.add(name)
        return self._gguf.dequantize(name)

    def _shape(self, name: str) -> tuple[int, ...]:
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ModelFileError(f"tensor {name} is missing")
        return tensor.shape

    def refuse_unread_tensors(self) -> None:
        for name in self.tensors:
            if name not in self._read:
                raise ModelFileError(f"tensor {name} is not one of this architecture's, or not supported")
