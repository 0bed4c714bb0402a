"""The models' protocol, and the numpy Llama against its reference on tiny random files.

The real model against other implementations is in test_model_truth.py.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import gguf as writer
from reference import llama as reference

from logitwire import models, pull
from logitwire.errors import (
    LimitError,
    ModelError,
    ModelFileError,
    ModelNotFoundError,
    ParameterError,
    TemplateError,
    TokenIdError,
    TokenizerError,
)
from logitwire.models.llama import LlamaGguf

IDS = [3, 90, 41, 7, 7, 0, 95, 18, 60, 33, 2, 77]


def log_probs(logits: Any) -> np.ndarray:
    return reference.log_softmax(np.asarray(logits))


def save(path: Path, metadata: dict[str, Any], tensors: dict[str, writer.Quantized]) -> Path:
    path.write_bytes(writer.write(metadata, tensors))
    return path


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "tiny.gguf", *reference.tiny(1))


@pytest.fixture(scope="module")
def tiny(tiny_path: Path) -> LlamaGguf:
    return models.load(tiny_path)


def alone(model: Any, ids: list[int]) -> np.ndarray:
    """(len(ids), vocab_size) log-probabilities from a fresh cache in one call."""
    return log_probs(model.forward([(model.new_cache(), ids)], positions="all"))


# The numpy Llama


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("tensor_type", ["F32", "F16", "Q8_0", "Q4_0", "Q4_1"])
def test_logits_are_those_of_the_reference(tmp_path: Path, tensor_type: str, tied: bool) -> None:
    metadata, tensors = reference.tiny(7, tied=tied, tensor_type=tensor_type)
    model = models.load(save(tmp_path / "tiny.gguf", metadata, tensors))
    expected = reference.logits(metadata, tensors, IDS)
    got = model.forward([(model.new_cache(), IDS)], positions="all")
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < 1e-4
    assert np.ptp(expected[-1]) > 1  # a flat row would agree with anything
    assert np.array_equal(got.argmax(axis=1), expected.argmax(axis=1))


def test_what_the_file_says_of_itself(tiny: LlamaGguf, tiny_path: Path) -> None:
    assert (tiny.vocab_size, tiny.context_length, tiny.name) == (96, 300, "tiny")
    assert tiny.tokenizer is None
    assert tiny.chat_template is None
    assert isinstance(tiny, models.Model)
    assert isinstance(tiny.new_cache(), models.Cache)


@given(cuts=st.sets(st.integers(1, len(IDS) - 1)))
def test_a_prompt_may_be_cut_anywhere(tiny: LlamaGguf, cuts: set[int]) -> None:
    cache = tiny.new_cache()
    rows = []
    for begin, end in pairwise([0, *sorted(cuts), len(IDS)]):
        rows.append(tiny.forward([(cache, IDS[begin:end])], positions="all"))
        assert cache.len == end
    assert np.abs(log_probs(np.concatenate(rows)) - alone(tiny, IDS)).max() < 1e-4


def test_a_prompt_longer_than_one_block_of_queries(tiny: LlamaGguf) -> None:
    ids = np.random.default_rng(0).integers(0, 96, 300).tolist()
    cache = tiny.new_cache()
    steps = np.concatenate([tiny.forward([(cache, [token_id])]) for token_id in ids])
    assert np.abs(log_probs(steps) - alone(tiny, ids)).max() < 1e-4
    last = tiny.forward([(tiny.new_cache(), ids)])
    assert np.abs(log_probs(last[0]) - log_probs(steps[-1])).max() < 1e-4


def test_ragged_rows_in_one_call_are_the_rows_alone(tiny: LlamaGguf) -> None:
    rng = np.random.default_rng(3)
    histories = [rng.integers(0, 96, n).tolist() for n in (0, 5, 140, 1, 0, 33, 64, 65)]
    news = [rng.integers(0, 96, n).tolist() for n in (1, 1, 1, 7, 130, 2, 1, 3)]
    caches = [tiny.new_cache() for _ in histories]
    for cache, history in zip(caches, histories, strict=True):
        if history:
            tiny.forward([(cache, history)])
    twins = [cache.fork() for cache in caches]
    last = tiny.forward(list(zip(caches, news, strict=True)))
    every = tiny.forward(list(zip(twins, news, strict=True)), positions="all")
    assert last.shape == (8, 96)
    assert every.shape == (sum(map(len, news)), 96)
    end = 0
    for row, (history, new) in enumerate(zip(histories, news, strict=True)):
        expected = alone(tiny, history + new)[len(history) :]
        end += len(new)
        assert np.abs(log_probs(every[end - len(new) : end]) - expected).max() < 1e-3
        assert np.abs(log_probs(last[row]) - expected[-1]).max() < 1e-3
        assert caches[row].len == len(history) + len(new)


def test_truncated_and_filled_again_is_as_new(tiny: LlamaGguf) -> None:
    cache = tiny.new_cache()
    tiny.forward([(cache, IDS)])
    for n in (9, 4, 0):
        cache.truncate(n)
        assert cache.len == n
        other = [11, 12, 13]
        got = log_probs(tiny.forward([(cache, other)]))
        assert np.abs(got[0] - alone(tiny, IDS[:n] + other)[-1]).max() < 1e-4


@pytest.mark.parametrize("n", [-1, 13])
def test_truncate_keeps_no_more_than_there_is(tiny: LlamaGguf, n: int) -> None:
    cache = tiny.new_cache()
    tiny.forward([(cache, IDS)])
    with pytest.raises(ParameterError, match="truncate: n"):
        cache.truncate(n)
    assert cache.len == len(IDS)


def test_a_fork_and_its_origin_do_not_see_each_other(tiny: LlamaGguf) -> None:
    cache = tiny.new_cache()
    tiny.forward([(cache, IDS[:5])])
    fork = cache.fork()
    a = tiny.forward([(cache, [1, 2])])
    b = tiny.forward([(fork, [3])])
    assert (cache.len, fork.len) == (7, 6)
    assert np.abs(log_probs(a[0]) - alone(tiny, [*IDS[:5], 1, 2])[-1]).max() < 1e-4
    assert np.abs(log_probs(b[0]) - alone(tiny, [*IDS[:5], 3])[-1]).max() < 1e-4
    a = tiny.forward([(cache, [4])])
    assert np.abs(log_probs(a[0]) - alone(tiny, [*IDS[:5], 1, 2, 4])[-1]).max() < 1e-4


def test_the_logits_are_the_callers_to_write_on(tiny: LlamaGguf) -> None:
    first = tiny.forward([(tiny.new_cache(), IDS)])
    kept = first.copy()
    first[:] = -np.inf
    assert np.array_equal(tiny.forward([(tiny.new_cache(), IDS)]), kept)


def test_gates_far_below_zero_close_without_a_warning(tmp_path: Path) -> None:
    metadata, tensors = reference.tiny(2)
    for i in range(3):
        tensors[f"blk.{i}.ffn_gate.weight"] = writer.Quantized(np.random.default_rng(i).normal(0, 60, (96, 64)), "F32")
    model = models.load(save(tmp_path / "steep.gguf", metadata, tensors))
    got = model.forward([(model.new_cache(), IDS)], positions="all")
    assert np.abs(log_probs(got) - log_probs(reference.logits(metadata, tensors, IDS))).max() < 1e-3


@pytest.mark.parametrize("weight", [np.inf, np.nan])
def test_broken_weights_give_rows_without_a_number_and_no_warning(tmp_path: Path, weight: float) -> None:
    metadata, tensors = reference.tiny(2)
    tensors["blk.1.ffn_down.weight"] = writer.Quantized(np.full((64, 96), weight), "F32")
    model = models.load(save(tmp_path / "broken.gguf", metadata, tensors))
    assert not np.isfinite(model.forward([(model.new_cache(), IDS)])).all()


def test_ids_may_be_any_sequence_of_integers(tiny: LlamaGguf) -> None:
    expected = tiny.forward([(tiny.new_cache(), IDS)])
    for ids in (tuple(IDS), np.array(IDS, np.int32), np.array(IDS, np.uint64), range(3, 4), [np.int64(i) for i in IDS]):
        got = tiny.forward([(tiny.new_cache(), ids)])
        assert len(ids) == 1 or np.array_equal(got, expected)


# What every adapter refuses


def tiny_callable(tiny: LlamaGguf) -> Any:
    model = models.as_model(lambda ids: alone(tiny, ids)[-1])
    model.forward([(model.new_cache(), [0])])  # now it knows its width
    return model


REFUSED: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str]] = {
    "no rows": (lambda model, cache: [], ModelError, "without rows"),
    "no tokens": (lambda model, cache: [(model.new_cache(), [1]), (cache, [])], ModelError, "row 1: no new tokens"),
    "negative": (lambda model, cache: [(cache, [1, -1])], TokenIdError, "no token -1"),
    "beyond": (lambda model, cache: [(model.new_cache(), [1]), (cache, [5, 96])], TokenIdError, "row 1: no token 96"),
    "huge": (lambda model, cache: [(cache, [1 << 80])], TokenIdError, "row 0"),
    "float": (lambda model, cache: [(cache, [1.0])], TokenIdError, r"integers.*\(1\.0\)"),
    "bool": (lambda model, cache: [(cache, [True])], TokenIdError, "integers"),
    "text": (lambda model, cache: [(cache, "abc")], TokenIdError, "integers"),
    "nested": (lambda model, cache: [(cache, [[1, 2]])], TokenIdError, "one dimension"),
    "ragged": (lambda model, cache: [(cache, [[1], [2, 3]])], TokenIdError, "integers"),
    "twice": (lambda model, cache: [(cache, [1]), (cache, [2])], ModelError, "row 1: its cache"),
    "foreign": (lambda model, cache: [(cache, [1]), (object(), [2])], ModelError, "row 1: the cache"),
    "another's": (
        lambda model, cache: [(cache, [1]), (models.as_model(len).new_cache(), [2])],
        ModelError,
        "row 1: the cache",
    ),
}


@pytest.mark.parametrize("kind", ["llama", "callable"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_no_trace(tiny: LlamaGguf, case: str, kind: str) -> None:
    model = tiny if kind == "llama" else tiny_callable(tiny)
    rows, error, message = REFUSED[case]
    cache = model.new_cache()
    model.forward([(cache, IDS)])
    with pytest.raises(error, match=message):
        model.forward(rows(model, cache))
    assert cache.len == len(IDS)
    got = log_probs(model.forward([(cache, [9])]))
    assert np.abs(got[0] - alone(tiny, [*IDS, 9])[-1]).max() < 1e-4


def test_positions_is_last_or_all(tiny: LlamaGguf) -> None:
    with pytest.raises(ParameterError, match="positions is 'first'") as caught:
        tiny.forward([(tiny.new_cache(), [1])], positions="first")  # type: ignore[arg-type]
    assert caught.value.field == "positions"


def test_a_full_context_is_said_before_anything_happens(tiny: LlamaGguf) -> None:
    full, free = tiny.new_cache(), tiny.new_cache()
    tiny.forward([(full, [1] * 299)])
    with pytest.raises(LimitError, match="row 1: 299 tokens and 2 new ones") as caught:
        tiny.forward([(free, [1]), (full, [2, 3])])
    assert (caught.value.limit, caught.value.got, caught.value.maximum) == ("context_length", 301, 300)
    assert (full.len, free.len) == (299, 0)
    tiny.forward([(full, [2])])
    assert full.len == 300


def test_a_failure_half_way_leaves_every_cache_as_it_was(tiny_path: Path) -> None:
    model = models.load(tiny_path)
    a, b = model.new_cache(), model.new_cache()
    model.forward([(a, IDS[:4])])
    layers = model._layers
    model._layers = [*layers[:2], layers[2]._replace(down=layers[2].down[:5])]
    with pytest.raises(ValueError, match="matmul"):
        model.forward([(a, [1]), (b, [2, 3])])
    model._layers = layers
    assert (a.len, b.len) == (4, 0)
    got = log_probs(model.forward([(a, IDS[4:]), (b, IDS)]))
    assert np.abs(got - alone(model, IDS)[-1]).max() < 1e-4


# Files


def without(name: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda metadata, tensors: (metadata if name in metadata else tensors).pop(name)


def key(name: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda metadata, tensors: metadata.update({name: value})


def tensor(name: str, *shape: int) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda metadata, tensors: tensors.update({name: writer.Quantized(np.zeros(shape), "F32")})


BAD_FILES: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], Any], str]] = {
    "another architecture": (key("general.architecture", "gemma"), "'gemma', only 'llama'"),
    "no architecture": (without("general.architecture"), "general.architecture is None"),
    "no layers": (key("llama.block_count", 0), "llama.block_count is 0, expected a positive integer"),
    "layers in words": (key("llama.block_count", "three"), "llama.block_count is 'three'"),
    "heads by layer": (key("llama.attention.head_count_kv", [2, 2, 1]), r"head_count_kv is \[2, 2, 1\]"),
    "no key": (without("llama.embedding_length"), "llama.embedding_length is missing"),
    "epsilon 0": (key("llama.attention.layer_norm_rms_epsilon", 0.0), "layer_norm_rms_epsilon is 0.0"),
    "epsilon beyond": (key("llama.attention.layer_norm_rms_epsilon", 1e30), "expected a number from 1e-30 to 1.0"),
    "rope below 1": (key("llama.rope.freq_base", 1e-40), "rope.freq_base is .*, expected a number from 1.0"),
    "rope of nan": (key("llama.rope.freq_base", float("nan")), "rope.freq_base is nan"),
    "heads that do not divide": (key("llama.attention.head_count_kv", 3), "must divide evenly"),
    "part of a head rotated": (key("llama.rope.dimension_count", 8), "rope.dimension_count is 8, only 16"),
    "rope scaling": (key("llama.rope.scaling.type", "yarn"), "rope.scaling.type is 'yarn', which is not supported"),
    "experts": (key("llama.expert_count", 8), "llama.expert_count is 8, which is not supported"),
    "a key from the future": (key("llama.logit_scale", 0.5), "llama.logit_scale is 0.5"),
    "no tensor": (without("blk.1.attn_k.weight"), "tensor blk.1.attn_k.weight is missing"),
    "no embedding": (without("token_embd.weight"), "tensor token_embd.weight is missing"),
    "an embedding of one row": (tensor("token_embd.weight", 64), r"token_embd.weight has shape \(64,\)"),
    "a wrong shape": (
        tensor("blk.0.ffn_up.weight", 64, 96),
        r"blk.0.ffn_up.weight has shape \(64, 96\), expected \(96, 64\)",
    ),
    "a short norm": (tensor("output_norm.weight", 32), r"output_norm.weight has shape \(32,\), expected \(64,\)"),
    "a layer too many": (key("llama.block_count", 4), "blk.3.attn_norm.weight is missing"),
    "a layer nobody reads": (key("llama.block_count", 2), "blk.2.* is not one of this architecture's"),
    "a bias": (tensor("blk.0.attn_q.bias", 64), "blk.0.attn_q.bias is not one of this architecture's"),
    "rope factors": (tensor("rope_freqs.weight", 8), "rope_freqs.weight is not one"),
    "a template of numbers": (key("tokenizer.chat_template", 3), "tokenizer.chat_template is not a text"),
    "a template without tokens": (
        lambda metadata, tensors: metadata.update({"tokenizer.chat_template": "", "tokenizer.ggml.tokens": 7}),
        "tokenizer.ggml.tokens not a list",
    ),
    "a key of many words": (key("llama.rope.scaling.type", "x" * 9999), "rope.scaling.type is '.{0,40}', which is not"),
    "a billion layers": (key("llama.block_count", 1 << 30), "blk.3.attn_norm.weight is missing"),
    "a billion heads": (key("llama.attention.head_count", 1 << 30), "is 0, expected a positive integer"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    change, message = BAD_FILES[case]
    metadata, tensors = reference.tiny(1)
    change(metadata, tensors)
    path = save(tmp_path / "bad.gguf", metadata, tensors)
    with pytest.raises(ModelFileError, match=f"bad.gguf: .*{message}"):
        models.load(path)


HYPERPARAMETERS = [
    "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.dimension_count",
]  # fmt: skip


@pytest.mark.parametrize("name", HYPERPARAMETERS)
@pytest.mark.parametrize("value", [-1, 0, 1 << 31, (1 << 32) - 1, 1 << 34, 1 << 62, (1 << 63) - 1, True, 1.5])
def test_no_value_of_a_hyperparameter_is_more_than_an_error(tmp_path: Path, name: str, value: Any) -> None:
    metadata, tensors = reference.tiny(1)
    metadata[f"llama.{name}"] = value
    path = save(tmp_path / "bad.gguf", metadata, tensors)
    with pytest.raises(ModelFileError, match=rf"bad.gguf: llama.{name} is .*, expected a positive integer"):
        models.load(path)


@pytest.mark.parametrize("name", ["embedding_length", "attention.key_length", "feed_forward_length", "block_count"])
@pytest.mark.parametrize("value", [1 << 26, 1 << 30])
def test_a_file_takes_no_more_memory_than_its_tensors(tmp_path: Path, name: str, value: int) -> None:
    metadata, tensors = reference.tiny(1)
    del metadata["llama.rope.dimension_count"]
    metadata |= {f"llama.{name}": value, "llama.attention.head_count": 2}
    if name == "attention.key_length":
        metadata["llama.attention.value_length"] = value
    path = save(tmp_path / "bad.gguf", metadata, tensors)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=r"bad\.gguf: tensor .*(shape|missing)"):
            models.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_what_numpy_cannot_hold_is_the_files_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "huge.gguf", *reference.tiny(1))
    for error in (MemoryError(), OverflowError("too large"), ValueError("array is too big")):

        def fail(*args: Any, error: Exception = error, **options: Any) -> Any:
            raise error

        monkeypatch.setattr("logitwire.models.llama._columns", fail)
        with pytest.raises(ModelFileError, match=r"huge\.gguf: .*(memory|too)") as caught:
            models.load(path)
        assert caught.value.__cause__ is error


def test_weights_that_overflow_at_load_give_no_warning(tmp_path: Path) -> None:
    metadata, tensors = reference.tiny(2)
    tensors["blk.1.attn_norm.weight"] = writer.Quantized(np.full(64, 3e38), "F32")
    tensors["blk.1.attn_q.weight"] = writer.Quantized(np.full((64, 64), 3e38), "F32")
    model = models.load(save(tmp_path / "large.gguf", metadata, tensors))
    assert not np.isfinite(model.forward([(model.new_cache(), IDS)])).all()


def test_keys_that_ask_for_nothing_are_no_matter(tmp_path: Path, tiny: LlamaGguf) -> None:
    metadata, tensors = reference.tiny(1)
    metadata |= {"llama.rope.scaling.type": "none", "llama.expert_count": 0, "llama.attention.key_length": 16}
    model = models.load(save(tmp_path / "neutral.gguf", metadata, tensors))
    assert np.array_equal(alone(model, IDS), alone(tiny, IDS))


def test_no_truncation_of_a_file_loads(tmp_path: Path, tiny_path: Path) -> None:
    whole = tiny_path.read_bytes()
    path = tmp_path / "short.gguf"
    for length in {*range(0, 200, 7), *range(200, len(whole), len(whole) // 60), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=re.escape(str(path))):
            models.load(path)


def test_a_text_file_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.gguf"
    path.write_text("This is not a model. " * 20)
    with pytest.raises(ModelFileError, match=r"notes\.gguf") as caught:
        models.load(path)
    assert caught.value.http_status == 500


def test_a_folder_is_no_model_and_the_hint_names_the_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is a folder") as caught:
        models.load(tmp_path)
    assert caught.value.hint == "there is no .gguf file in it"
    (tmp_path / "some.gguf").touch()
    with pytest.raises(ModelFileError) as caught:
        models.load(str(tmp_path))
    assert str(tmp_path / "some.gguf") in str(caught.value.hint)


def with_tokenizer(vocab_size: int, **more: Any) -> dict[str, Any]:
    """Metadata of a byte-level tokenizer: printable ASCII, <end>, one merge; filled up with control tokens."""
    tokens = [chr(i) for i in range(33, 127)] + ["<end>", "ab"]
    tokens = (tokens + [f"<{i}>" for i in range(vocab_size)])[:vocab_size]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": np.array([3 if len(token) > 2 else 1 for token in tokens], np.int32),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": 94,
    } | {f"tokenizer.{key}": value for key, value in more.items()}


def test_a_file_brings_its_tokenizer_and_template(tmp_path: Path) -> None:
    metadata, tensors = reference.tiny(1)
    template = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    metadata |= with_tokenizer(96, chat_template=template)
    model = models.load(save(tmp_path / "whole.gguf", metadata, tensors))
    assert model.tokenizer is not None
    assert model.tokenizer.encode("abc") == [95, 66]
    assert model.tokenizer.eos_ids == [94]
    assert model.chat_template is not None
    assert model.chat_template.render([{"role": "user", "content": "hi"}]) == "hi<end>"


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    metadata, tensors = reference.tiny(1)
    path = save(tmp_path / "large.gguf", metadata | with_tokenizer(97), tensors)
    with pytest.raises(
        ModelFileError, match=r"large\.gguf: the tokenizer has 97 tokens, token_embd.weight only 96 rows"
    ):
        models.load(path)


def test_a_broken_template_or_tokenizer_says_so_at_load(tmp_path: Path) -> None:
    metadata, tensors = reference.tiny(1)
    path = save(tmp_path / "template.gguf", metadata | with_tokenizer(96, chat_template="{% for %}"), tensors)
    with pytest.raises(TemplateError):
        models.load(path)
    broken = metadata | with_tokenizer(96) | {"tokenizer.ggml.model": "unheard of"}
    with pytest.raises(TokenizerError, match="unheard of"):
        models.load(save(tmp_path / "tokenizer.gguf", broken, tensors))


# Names


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'gpt-9'") as caught:
        models.load("gpt-9")
    assert "smollm2" in str(caught.value.hint)
    with pytest.raises(ModelNotFoundError) as caught:
        models.load("SmolLM-2")
    assert "did you mean 'smollm2'?" in str(caught.value.hint)
    with pytest.raises(FileNotFoundError):
        models.load(tmp_path / "no.gguf")


def test_a_name_is_looked_up_in_the_cache_and_kept(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "cached", lambda name: tiny_path)
    assert models.load("smollm2").name == "smollm2"


def test_loading_never_fetches_and_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITWIRE_CACHE", str(tmp_path))
    monkeypatch.setattr(pull, "fetch", lambda *args, **options: pytest.fail("it fetched"))
    with pytest.raises(ModelNotFoundError) as caught:
        models.load("smollm2")
    assert "logitwire pull smollm2" in str(caught.value.hint)


# Callables


def counting(vocab_size: int = 8) -> tuple[Callable[[list[int]], np.ndarray], list[list[int]]]:
    """Logits [last id, how many, 0, ...], and the calls."""
    calls: list[list[int]] = []

    def function(ids: list[int]) -> np.ndarray:
        calls.append(ids)
        row = np.zeros(vocab_size, np.float32)
        row[:2] = ids[-1], len(ids)
        return row

    return function, calls


def test_a_callable_sees_all_tokens_and_its_caches_behave(tiny: LlamaGguf) -> None:
    function, calls = counting()
    model = models.as_model(function)
    assert isinstance(model, models.Model)
    assert model.vocab_size is None
    a, b = model.new_cache(), model.new_cache()
    out = model.forward([(a, [5]), (b, [6, 7])])
    assert model.vocab_size == 8
    assert out[:, :2].tolist() == [[5, 1], [7, 2]]
    fork = b.fork()
    b.truncate(1)
    out = model.forward([(b, [3]), (fork, [4])])
    assert out[:, :2].tolist() == [[3, 2], [4, 3]]
    assert calls[-2:] == [[6, 3], [6, 7, 4]]
    assert (a.len, b.len, fork.len) == (1, 2, 3)


def test_a_callable_gives_every_position_by_rows_or_by_prefixes() -> None:
    function, calls = counting()
    model = models.as_model(function)
    cache = model.new_cache()
    model.forward([(cache, [1])])
    out = model.forward([(cache, [2, 3, 4])], positions="all")
    assert out[:, :2].tolist() == [[2, 2], [3, 3], [4, 4]]
    assert sorted(map(len, calls)) == [1, 2, 3, 4]

    many = models.as_model(lambda ids: np.stack([function(ids[: i + 1]) for i in range(len(ids))]))
    a, b = many.new_cache(), many.new_cache()
    many.forward([(a, [1])])
    out = many.forward([(a, [2, 3]), (b, [4])], positions="all")
    assert out[:, :2].tolist() == [[2, 2], [3, 3], [4, 1]]
    assert many.forward([(a, [6])])[:, :2].tolist() == [[6, 4]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_a_callables_numbers_become_what_the_line_takes(dtype: Any) -> None:
    model = models.as_model(lambda ids: np.arange(4).astype(dtype))
    out = model.forward([(model.new_cache(), [0]), (model.new_cache(), [1])])
    assert out.dtype == (np.float16 if dtype is np.float16 else np.float32)
    assert out.tolist() == [[0, 1, 2, 3]] * 2
    listed = models.as_model(lambda ids: [0.5, 1.5])
    assert listed.forward([(listed.new_cache(), [0])]).dtype == np.float32


def test_logits_beyond_float32_are_infinite_without_a_warning() -> None:
    model = models.as_model(lambda ids: np.array([0.0, 1e300, -1e300, 1e-300]))
    with np.errstate(all="warn"):
        out = model.forward([(model.new_cache(), [0])])
    assert out.tolist() == [[0, np.inf, -np.inf, 0]]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "NoneType"),
        ("logits", "str"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros((5, 8)), r"shape \(5, 8\) for 2 tokens"),
        (np.zeros(0), r"shape \(0,\)"),
        (np.float32(1), r"shape \(\)"),
        (np.zeros(4, complex), "ndarray"),
    ],
    ids=str,
)
def test_a_callable_that_gives_no_logits_is_told(result: Any, message: str) -> None:
    model = models.as_model(lambda ids: result)
    cache = model.new_cache()
    with pytest.raises(ModelError, match=message):
        model.forward([(cache, [0, 1])])
    assert cache.len == 0


def test_a_callables_width_stays() -> None:
    model = models.as_model(lambda ids: np.zeros(4 + len(ids), np.float32))
    cache = model.new_cache()
    model.forward([(cache, [0])])
    with pytest.raises(ModelError, match="were 5 wide and are now 6"):
        model.forward([(cache, [0])])
    assert cache.len == 1


def test_what_a_callable_raises_is_the_cause() -> None:
    def function(ids: list[int]) -> Any:
        if len(ids) > 1:
            raise KeyError("boom")
        ids.append(9)  # its own copy
        return np.zeros(4, np.float32)

    model = models.as_model(function)
    a, b = model.new_cache(), model.new_cache()
    with pytest.raises(ModelError, match=r"KeyError.*boom") as caught:
        model.forward([(a, [1]), (b, [2, 3])])
    assert isinstance(caught.value.__cause__, KeyError)
    assert (a.len, b.len) == (0, 0)


def test_as_model_knows_a_model_from_a_callable(tiny: LlamaGguf) -> None:
    assert models.as_model(tiny) is tiny
    with pytest.raises(ModelError, match="int is no model"):
        models.as_model(3)
    with pytest.raises(ModelError, match="is a class") as caught:
        models.as_model(LlamaGguf)
    assert "LlamaGguf()" in str(caught.value.hint)


# transformers


@pytest.fixture(scope="module")
def torch_tiny() -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from peers import torch_llama

    metadata, tensors = reference.tiny(1)
    return torch_llama.build(metadata, list(tensors), lambda name: tensors[name].values)


def test_a_transformers_model_speaks_the_protocol(tiny: LlamaGguf, torch_tiny: Any) -> None:
    import torch

    model = models.from_transformers(torch_tiny)
    assert isinstance(model, models.Model)
    assert (model.vocab_size, model.context_length, model.name) == (96, 300, None)
    assert np.abs(alone(model, IDS) - alone(tiny, IDS)).max() < 1e-4

    a, b = model.new_cache(), model.new_cache()
    model.forward([(a, IDS[:5])])
    fork = a.fork()
    out = model.forward([(a, IDS[5:]), (b, IDS[:3]), (fork, [1])])
    assert isinstance(out, torch.Tensor)
    assert out.shape == (3, 96)
    assert out.dtype == torch.float32
    assert not out.requires_grad
    assert (a.len, b.len, fork.len) == (len(IDS), 3, 6)
    expected = [alone(tiny, ids)[-1] for ids in (IDS, IDS[:3], [*IDS[:5], 1])]
    assert np.abs(log_probs(out) - expected).max() < 1e-4
    for n in (7, 0):
        a.truncate(n)
        assert a.len == n
        out = model.forward([(a, [4, 5])], positions="all")
        assert np.abs(log_probs(out) - alone(tiny, [*IDS[:n], 4, 5])[n:]).max() < 1e-4


@pytest.mark.parametrize("case", [case for case in REFUSED if case != "another's"])
def test_a_transformers_model_refuses_the_same(tiny: LlamaGguf, torch_tiny: Any, case: str) -> None:
    model = models.from_transformers(torch_tiny)
    rows, error, message = REFUSED[case]
    cache = model.new_cache()
    model.forward([(cache, IDS)])
    with pytest.raises(error, match=message):
        model.forward(rows(model, cache))
    assert cache.len == len(IDS)


def test_a_transformers_model_that_fails_half_way(
    tiny: LlamaGguf, torch_tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.from_transformers(torch_tiny)
    a, b = model.new_cache(), model.new_cache()
    model.forward([(b, IDS[:4])])
    attention = torch_tiny.model.layers[1].self_attn
    forward = attention.forward

    def fail_on_the_second_row(*args: Any, **kwargs: Any) -> Any:
        if kwargs["past_key_values"] is b._past:
            raise ZeroDivisionError("boom")
        return forward(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(attention, "forward", fail_on_the_second_row)
        with pytest.raises(ModelError, match="boom") as caught:
            model.forward([(a, [1, 2]), (b, [3])])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert (a.len, b.len) == (0, 4)
    got = log_probs(model.forward([(a, IDS), (b, IDS[4:])]))
    assert np.abs(got - alone(tiny, IDS)[-1]).max() < 1e-4


def test_from_transformers_takes_causal_models_only(torch_tiny: Any) -> None:
    with pytest.raises(ModelError, match="function is not a model of transformers"):
        models.from_transformers(lambda ids: ids)
    with pytest.raises(ModelError, match="not a causal language model"):
        models.from_transformers(torch_tiny.model)
    with pytest.raises(ModelError, match="is a model of transformers") as caught:
        models.as_model(torch_tiny)
    assert "from_transformers" in str(caught.value.hint)
    torch_tiny.train()
    try:
        with pytest.raises(ModelError, match="training mode"):
            models.from_transformers(torch_tiny)
    finally:
        torch_tiny.eval()


def test_torch_rows_of_a_callable_stay_torch() -> None:
    torch = pytest.importorskip("torch")
    weights = torch.zeros(4, requires_grad=True)
    model = models.as_model(lambda ids: weights + len(ids))
    out = model.forward([(model.new_cache(), [0]), (model.new_cache(), [1, 2])])
    assert isinstance(out, torch.Tensor)
    assert not out.requires_grad
    assert out.tolist() == [[1.0] * 4, [2.0] * 4]
