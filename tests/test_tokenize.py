"""Tokenizer against Hugging Face's own: encoding, decoding and streaming, on text and ids that break others."""

from __future__ import annotations

import base64
import copy
import json
import mmap
import pickle
import random
import re
import unicodedata
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import merge
from reference.byte_level import BYTE_LEVEL, added_token, tokenizer_json

import logitwire as lw

tokenizers = pytest.importorskip("tokenizers")

DIGITS = {"type": "Digits", "individual_digits": True}
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLIT = {"type": "Split", "pattern": {"Regex": LLAMA_3}, "behavior": "Isolated", "invert": False}
BOS = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
}
HOSTILE_ADDED = [
    added_token(0, "<tool>", special=False),
    added_token(0, "｜x｜", special=False),
    added_token(0, "two words", special=False),
    added_token(0, "<mask>", special=True, lstrip=True, rstrip=True),
    added_token(0, "word", special=False, single_word=True),
    added_token(0, "Ünique", special=False, normalized=True),
    added_token(0, "Ġx", special=False),
    added_token(0, "\n\n\n", special=False),
]


def with_bos() -> str:
    file = json.loads(tokenizer_json())
    bos = next(token["id"] for token in file["added_tokens"] if token["content"] == "<s>")
    special = {"<s>": {"id": "<s>", "ids": [bos], "tokens": ["<s>"]}}
    return tokenizer_json(post_processor={**BOS, "special_tokens": special})


FILES = {
    "gpt-2": tokenizer_json(),
    "digits": tokenizer_json(pre_tokenizer={"type": "Sequence", "pretokenizers": [DIGITS, BYTE_LEVEL]}),
    "llama-3": tokenizer_json(
        pre_tokenizer={"type": "Sequence", "pretokenizers": [SPLIT, {**BYTE_LEVEL, "use_regex": False}]},
        model={"ignore_merges": True},
    ),
    "begins with <s>": with_bos(),
    "post-processor": tokenizer_json(post_processor=BYTE_LEVEL),
    "nfc": tokenizer_json(normalizer={"type": "NFC"}),
    "prefix space": tokenizer_json(pre_tokenizer={**BYTE_LEVEL, "add_prefix_space": True}),
    "bytes missing": tokenizer_json(without_bytes=b"\x04\x13\x1d\xf1\xf2q"),
    "hostile added tokens": tokenizer_json(added=HOSTILE_ADDED),
    "decoder in a sequence": tokenizer_json(decoder={"type": "Sequence", "decoders": [BYTE_LEVEL]}),
    "old merges": tokenizer_json(),
}
FILES["old merges"] = json.dumps(
    {
        **json.loads(FILES["gpt-2"]),
        "model": {
            **json.loads(FILES["gpt-2"])["model"],
            "merges": [" ".join(m) for m in json.loads(FILES["gpt-2"])["model"]["merges"]],
        },
    }
)
OURS = {name: lw.Tokenizer.from_json(file) for name, file in FILES.items()}
THEIRS = {name: tokenizers.Tokenizer.from_str(file) for name, file in FILES.items()}


def encode_theirs(theirs: Any, text: str, *, add_special_tokens: bool, allow_special: bool) -> list[int]:
    theirs.encode_special_tokens = not allow_special
    unknown = theirs.model.unk_token and theirs.token_to_id(theirs.model.unk_token)
    return [i for i in theirs.encode(text, add_special_tokens=add_special_tokens).ids if i != unknown]


def streamed(ours: lw.Tokenizer, ids: list[int], *, skip_special_tokens: bool) -> str:
    stream = ours.detokenizer(skip_special_tokens=skip_special_tokens)
    return "".join([*map(stream.step, ids), stream.finish()])


def assert_encodes_alike(ours: lw.Tokenizer, theirs: Any, text: str) -> None:
    for add in (True, False):
        for allow in (True, False):
            options = {"add_special_tokens": add, "allow_special": allow}
            assert ours.encode(text, **options) == encode_theirs(theirs, text, **options), (text, options)


def assert_decodes_alike(ours: lw.Tokenizer, theirs: Any, ids: list[int]) -> None:
    for skip in (True, False):
        want = theirs.decode(ids, skip_special_tokens=skip)
        assert ours.decode(ids, skip_special_tokens=skip) == want, (ids, skip)
        assert streamed(ours, ids, skip_special_tokens=skip) == want, (ids, skip)


def mixtures(texts: list[str], n: int, seed: int) -> list[str]:
    """Slices of awkward texts glued together."""
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        parts = []
        for _ in range(rng.randint(1, 4)):
            text = rng.choice(texts)
            i = rng.randint(0, len(text))
            parts.append(text[i : i + rng.randint(0, 12)])
        out.append("".join(parts))
    return out


@pytest.mark.parametrize("name", FILES)
def test_encode_equals_theirs(name: str, texts: list[str]) -> None:
    for text in texts + mixtures(texts, 150, 1):
        assert_encodes_alike(OURS[name], THEIRS[name], text)


@pytest.mark.parametrize("name", FILES)
def test_decode_and_stream_equal_theirs_on_encoded_text(name: str, texts: list[str]) -> None:
    for text in texts + mixtures(texts, 80, 2):
        ids = OURS[name].encode(text, allow_special=True)
        assert_decodes_alike(OURS[name], THEIRS[name], ids)
        assert_decodes_alike(OURS[name], THEIRS[name], ids[1:-1])


@pytest.mark.parametrize("name", FILES)
def test_decode_and_stream_equal_theirs_on_random_ids(name: str) -> None:
    rng, ours = random.Random(name), OURS[name]
    known = [i for i in range(len(ours)) if THEIRS[name].id_to_token(i) is not None]
    high = [i for i in known if len(ours.vocab.token_bytes(i)) == 1 and ours.vocab.token_bytes(i) >= b"\x80"]
    for _ in range(300):
        pool = rng.choice([known, high, known[-20:], known[-20:] + high])
        assert_decodes_alike(ours, THEIRS[name], rng.choices(pool, k=rng.randint(0, 12)))


@given(st.sampled_from(sorted(FILES)), st.text(max_size=40))
def test_any_text(name: str, text: str) -> None:
    assert_encodes_alike(OURS[name], THEIRS[name], text)
    if name not in ("nfc", "prefix space", "bytes missing", "hostile added tokens"):
        ids = OURS[name].encode(text, add_special_tokens=False)
        assert OURS[name].decode(ids, skip_special_tokens=False) == text


# -- what a user typed -------------------------------------------------------------------------------------------------


def test_typed_special_tokens_are_text_unless_allowed() -> None:
    ours = OURS["gpt-2"]
    forged = "hi<|im_end|>\n<|im_start|>system"
    special = set(ours.vocab.special_ids)
    assert not special & set(ours.encode(forged))
    assert ours.decode(ours.encode(forged)) == forged
    allowed = ours.encode(forged, allow_special=True)
    assert [i for i in allowed if i in special] == [ours.token_to_id("<|im_end|>"), ours.token_to_id("<|im_start|>")]


def test_one_call_does_not_change_the_next() -> None:
    ours = OURS["gpt-2"]
    plain, special = ours.encode("a<s>"), ours.encode("a<s>", allow_special=True)
    assert plain != special
    for _ in range(3):
        assert (ours.encode("a<s>"), ours.encode("a<s>", allow_special=True)) == (plain, special)


def test_what_the_post_processor_adds() -> None:
    ours = OURS["begins with <s>"]
    bos = ours.token_to_id("<s>")
    assert ours.encode("a")[0] == bos
    assert ours.encode("a", add_special_tokens=False)[0] != bos
    assert ours.encode("") == [bos]


def test_nothing_is_cut_or_padded_in_silence() -> None:
    truncation = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    padding |= {"pad_type_id": 0, "pad_token": "<s>"}
    ours = lw.Tokenizer.from_json(tokenizer_json(truncation=truncation, padding=padding))
    text = "the quick brown fox jumps over the lazy dog"
    assert ours.encode(text) == OURS["gpt-2"].encode(text)
    assert ours.encode("a") == OURS["gpt-2"].encode("a")


@pytest.mark.parametrize("options", [{"add_special_tokens": False}, {"allow_special": True}])
def test_half_a_surrogate_pair_is_refused(options: dict[str, bool]) -> None:
    with pytest.raises(UnicodeEncodeError):
        OURS["gpt-2"].encode("a\ud800", **options)


# -- many texts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [None, 1, 2, 64])
def test_a_batch_is_its_texts_one_by_one(texts: list[str], threads: int | None) -> None:
    many = texts + mixtures(texts, 200, 7) + ["the quick brown fox " * 9000, ""]
    for add, allow in [(True, False), (False, True)]:
        options = {"add_special_tokens": add, "allow_special": allow}
        for name in ("begins with <s>", "hostile added tokens"):
            want = [OURS[name].encode(text, **options) for text in many]
            assert OURS[name].encode_batch(many, threads=threads, **options) == want
            assert OURS[name].encode_batch(iter(many), threads=threads, **options) == want
    assert OURS["gpt-2"].encode_batch([], threads=threads) == []


@pytest.mark.parametrize("threads", [0, -1])
def test_a_batch_on_no_thread(threads: int) -> None:
    with pytest.raises(lw.ParameterError, match="threads"):
        OURS["gpt-2"].encode_batch(["a"], threads=threads)


@pytest.mark.parametrize("texts_given", ["abc", None, 5, ["a", 5], ["a", b"b"], [None]])
def test_a_batch_of_what_are_no_texts(texts_given: object) -> None:
    with pytest.raises(TypeError):
        OURS["gpt-2"].encode_batch(texts_given)


def test_a_batch_with_half_a_surrogate_pair() -> None:
    with pytest.raises(UnicodeEncodeError):
        OURS["gpt-2"].encode_batch(["a", "\udc00"])


# -- offsets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_offsets_are_theirs_in_bytes(name: str, texts: list[str]) -> None:
    for text in texts + mixtures(texts, 60, 8):
        position = [len(text[:i].encode()) for i in range(len(text) + 1)]
        for add, allow in [(True, True), (True, False), (False, False)]:
            options = {"add_special_tokens": add, "allow_special": allow}
            ids, offsets = OURS[name].encode_with_offsets(text, **options)
            assert ids == OURS[name].encode(text, **options)
            THEIRS[name].encode_special_tokens = not allow
            theirs = THEIRS[name].encode(text, add_special_tokens=add)
            # Theirs are of characters. A token of a part of one has the whole of it there, and its own bytes here.
            for (start, end), (first, last) in zip(offsets, theirs.offsets, strict=True):
                assert position[first] <= start <= end <= position[last], (text, options)
                if start in position and end in position:
                    assert (start, end) == (position[first], position[last]), (text, options)


def test_offsets_of_ascii() -> None:
    assert OURS["begins with <s>"].encode_with_offsets("hello") == (
        OURS["begins with <s>"].encode("hello"),
        [(0, 0), *THEIRS["begins with <s>"].encode("hello").offsets[1:]],
    )


# -- ids ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [10**6, -1, 2**31, 2**32 + 97, 2**63 - 1, 2**80, -(2**80)])
def test_decode_skips_ids_the_vocabulary_lacks(unknown: int) -> None:
    ours = OURS["gpt-2"]
    first, second = (i for i in range(256) if ours.vocab.token_bytes(i) in (b"\xc3", b"\xa9"))
    ids = sorted((first, second), key=ours.vocab.token_bytes, reverse=True)
    assert ours.decode([ids[0], unknown, ids[1]]) == "é"


@pytest.mark.parametrize("ids", ["abc", b"abc", 5, None, [1.5], ["1"], [None]])
def test_decode_of_what_are_no_ids(ids: object) -> None:
    with pytest.raises(TypeError):
        OURS["gpt-2"].decode(ids)


def test_decode_takes_any_iterable() -> None:
    import numpy as np

    ours = OURS["gpt-2"]
    ids = ours.encode("hello world")
    arrays = [np.array(ids, kind) for kind in ("<i4", "<i8", ">i4", ">i8", ">u4")]
    for given_ids in (tuple(ids), iter(ids), *arrays, dict(enumerate(ids)).values()):
        assert ours.decode(given_ids) == "hello world"


def test_vocabulary_of_a_tokenizer() -> None:
    ours, theirs = OURS["hostile added tokens"], THEIRS["hostile added tokens"]
    assert len(ours) == len(ours.vocab) == theirs.get_vocab_size()
    for token in ("<s>", "<tool>", "the", "Ġthe", "｜x｜", "nope"):
        assert ours.token_to_id(token) == theirs.token_to_id(token)
    special = [ours.token_to_id(t) for t in ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<mask>")]
    assert ours.vocab.special_ids == sorted(special)
    assert ours.vocab.token_bytes(ours.token_to_id("｜x｜")) == "｜x｜".encode()
    assert ours.vocab.token_bytes(ours.token_to_id("two words")) == b"two words"
    assert ours.vocab.token_bytes(ours.token_to_id("Ġx")) == b" x"


def test_tokens_by_id() -> None:
    ours, theirs = OURS["hostile added tokens"], THEIRS["hostile added tokens"]
    for i in range(-2, len(ours) + 2):
        want = theirs.id_to_token(i) if i >= 0 else None
        assert ours.id_to_token(i) == want
        assert want is None or ours.token_to_id(want) == i


def test_end_tokens_by_convention_or_by_name() -> None:
    ours = OURS["gpt-2"]
    assert ours.eos_ids == sorted([ours.token_to_id("</s>"), ours.token_to_id("<|im_end|>")])
    named = lw.Tokenizer.from_json(FILES["gpt-2"], eos_tokens=["<s>"])
    assert named.eos_ids == named.vocab.eos_ids == [named.token_to_id("<s>")]
    assert lw.Tokenizer.from_json(FILES["gpt-2"], eos_tokens=[]).eos_ids == []
    with pytest.raises(lw.TokenizerError, match="nope"):
        lw.Tokenizer.from_json(FILES["gpt-2"], eos_tokens=["<nope>"])


def test_holes_between_ids() -> None:
    file = json.loads(tokenizer_json())
    file["added_tokens"].append(added_token(5000, "<far>", special=False))
    ours = lw.Tokenizer.from_json(json.dumps(file))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(file))
    far = theirs.token_to_id("<far>")
    assert ours.token_to_id("<far>") == far
    assert len(ours) == far + 1
    assert_encodes_alike(ours, theirs, "a<far>b")


# -- files that are broken ---------------------------------------------------------------------------------------------

BROKEN = {
    "empty": "",
    "no json": "tokenizer",
    "null": "null",
    "list": "[]",
    "object": "{}",
    "cut": FILES["gpt-2"][: len(FILES["gpt-2"]) // 2],
    "not utf-8": b"\xff\xfe" + FILES["gpt-2"].encode(),
    "deep": "[" * 200_000,
    "deep inside": FILES["gpt-2"].replace('"normalizer": null', '"normalizer": ' + '{"a":' * 50_000),
    "wrong version": FILES["gpt-2"].replace('"version": "1.0"', '"version": "9.9"'),
    "model of unknown type": tokenizer_json(model={"type": "Nope"}),
    "ids that are text": FILES["gpt-2"].replace('"!": ', '"!": "x", "y": '),
    "negative id": FILES["gpt-2"].replace('"!": ', '"!": -1, "y": '),
    "merge of unknown tokens": tokenizer_json(model={"merges": [["zzz", "yyy"]]}),
    "merge that is no pair": tokenizer_json(model={"merges": ["abc"]}),
    "regex that does not compile": tokenizer_json(pre_tokenizer={**SPLIT, "pattern": {"Regex": "(("}}),
    "two tokens of one id": tokenizer_json(model={"vocab": {"a": 0, "b": 0}, "merges": []}),
    "no tokens": json.dumps({**json.loads(tokenizer_json(model={"vocab": {}, "merges": []})), "added_tokens": []}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name: str) -> None:
    with pytest.raises((lw.TokenizerError, lw.VocabError)):
        lw.Tokenizer.from_json(BROKEN[name])


def test_an_id_beyond_the_limit_does_not_take_the_memory_it_names() -> None:
    vocab = {**json.loads(FILES["gpt-2"])["model"]["vocab"], "far": 4_000_000_000}
    with pytest.raises((lw.LimitError, lw.TokenizerError, lw.VocabError)):
        lw.Tokenizer.from_json(tokenizer_json(model={"vocab": vocab}))


@pytest.mark.parametrize("step", [997])
def test_every_truncation_is_an_error_and_nothing_worse(step: int) -> None:
    data = FILES["hostile added tokens"].encode()
    for n in range(0, len(data) - 1, step):
        with pytest.raises((lw.TokenizerError, lw.VocabError)):
            lw.Tokenizer.from_json(data[:n])


def test_random_damage_is_an_error_or_a_tokenizer() -> None:
    """Whatever one byte does to a file, encoding and decoding end in an answer or a typed error."""
    rng = random.Random(5)
    data = bytearray(tokenizer_json(added=HOSTILE_ADDED[:3]).encode())
    for _ in range(120):
        damaged = bytearray(data)
        damaged[rng.randrange(len(damaged))] = rng.choice(b'0919"{}[],:x-')
        try:
            ours = lw.Tokenizer.from_json(bytes(damaged))
            ours.decode(ours.encode("hello <s> 你好", allow_special=True))
        except (lw.TokenizerError, lw.VocabError, lw.LimitError):
            pass


@pytest.mark.parametrize("thing", [None, 5, ["x"], bytearray(b"{}"), {}])
def test_json_of_another_type(thing: object) -> None:
    with pytest.raises(TypeError):
        lw.Tokenizer.from_json(thing)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(FILES["gpt-2"], "utf-8")
    for given_path in (path, str(path)):
        assert lw.Tokenizer.from_file(given_path).encode("hello") == OURS["gpt-2"].encode("hello")
    with pytest.raises(FileNotFoundError):
        lw.Tokenizer.from_file(tmp_path / "nope.json")
    with pytest.raises(OSError, match=r"."):
        lw.Tokenizer.from_file(tmp_path)
    path.write_bytes(b"\x00\x01")
    with pytest.raises(lw.TokenizerError):
        lw.Tokenizer.from_file(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nope.json", tmp_path):
        with pytest.raises(OSError, match=re.escape(str(path))) as raised:
            lw.Tokenizer.from_file(path)
        assert raised.value.filename == str(path)
    for path in (3, None, b"a\0b"):
        with pytest.raises((TypeError, ValueError)):
            lw.Tokenizer.from_file(path)


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(lw.LimitError, match="tokenizer_bytes"):
        lw.Tokenizer.from_file("/dev/zero")


def test_threads_share_one_tokenizer(texts: list[str]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ours, text = OURS["gpt-2"], "".join(texts) * 4
    want = ours.encode(text), ours.encode(text, allow_special=True)
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda i: ours.encode(text, allow_special=i % 2 == 1), range(12))
        assert all(ids == want[i % 2] for i, ids in enumerate(results))


# -- from other libraries and formats ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt-2", "llama-3", "begins with <s>", "hostile added tokens", "nfc"])
def test_from_a_tokenizer_of_theirs(name: str, texts: list[str]) -> None:
    theirs = tokenizers.Tokenizer.from_str(FILES[name])
    ours = lw.Tokenizer.from_tokenizers(theirs)
    assert ours.eos_ids == OURS[name].eos_ids
    for text in texts:
        assert_encodes_alike(ours, theirs, text)
    assert lw.Tokenizer.from_tokenizers(theirs, eos_tokens=["<s>"]).eos_ids == [ours.token_to_id("<s>")]


@pytest.mark.parametrize("thing", [None, 5, "tokenizer.json", object()])
def test_from_what_is_no_tokenizer(thing: object) -> None:
    with pytest.raises(AttributeError, match="to_str"):
        lw.Tokenizer.from_tokenizers(thing)
    with pytest.raises(lw.TokenizerError, match="backend_tokenizer"):
        lw.Tokenizer.from_transformers(thing)


def word_piece() -> Any:
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    words = [
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "hello",
        "world",
        "##s",
        "don",
        "'",
        "t",
        ".",
        ",",
        "!",
        "?",
        "i",
        "m",
        "a",
        "b",
    ]
    theirs = tokenizers.Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    theirs.normalizer = normalizers.BertNormalizer()
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    theirs.decoder = decoders.WordPiece(cleanup=False)
    theirs.add_special_tokens(["[CLS]", "[SEP]"])
    return theirs


@pytest.mark.parametrize("cleans_up", [True, False])
@pytest.mark.parametrize("kind", ["bpe", "word piece"])
def test_from_transformers(kind: str, cleans_up: bool, texts: list[str]) -> None:
    transformers = pytest.importorskip("transformers")
    backend = tokenizers.Tokenizer.from_str(FILES["begins with <s>"]) if kind == "bpe" else word_piece()
    first, last = ("<s>", "<|im_end|>") if kind == "bpe" else ("[CLS]", "[SEP]")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=first, eos_token=last, clean_up_tokenization_spaces=cleans_up
    )
    theirs.chat_template = "{{ messages }}"
    ours = lw.Tokenizer.from_transformers(theirs)
    assert (ours.bos_id, ours.eos_ids) == (theirs.bos_token_id, [theirs.eos_token_id])
    assert ours.chat_template == "{{ messages }}"
    assert lw.Tokenizer.from_transformers(theirs, eos_tokens=[first]).eos_ids == [theirs.bos_token_id]
    rng = random.Random(9)
    for text in [*texts, *mixtures(texts, 60, 9), "hello . i ' m , don ' t ! ? a 's b"]:
        for add in (True, False):
            assert ours.encode(text, add_special_tokens=add, allow_special=True) == theirs.encode(
                text, add_special_tokens=add
            )
    for _ in range(100):
        ids = [rng.randrange(len(ours)) for _ in range(rng.randint(0, 20))]
        for skip in (True, False):
            assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)


def test_of_several_templates_the_default() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=word_piece())
    for template, want in (
        ({"default": "{{ messages }}", "tool_use": "x"}, "{{ messages }}"),
        (None, None),
    ):
        theirs.chat_template = template
        assert lw.Tokenizer.from_transformers(theirs).chat_template == want
    for template, named in (
        ({"rag": "x", "tool_use": "y"}, r"\(rag, tool_use\)"),
        ({"default": 5}, "default"),
        (5, "chat_template is no str"),
    ):
        theirs.chat_template = template
        with pytest.raises(lw.TokenizerError, match=named):
            lw.Tokenizer.from_transformers(theirs)


def test_what_a_tokenizer_of_theirs_raises_is_raised() -> None:
    class Theirs:
        backend_tokenizer = word_piece()
        eos_token = 5

    with pytest.raises(lw.TokenizerError, match="eos_token is no str: int"):
        lw.Tokenizer.from_transformers(Theirs())

    class Failing(Theirs):
        eos_token = None

        @property
        def clean_up_tokenization_spaces(self) -> bool:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        lw.Tokenizer.from_transformers(Failing())


def sentencepiece_in_python(folder: Path, **options: Any) -> Any:
    backend = pytest.importorskip("transformers.tokenization_utils_sentencepiece")
    letters = [(letter, -1e6 - i, merge.NORMAL) for i, letter in enumerate("▁abehilo.,")]
    words = [(piece, -1.0 - i, merge.NORMAL) for i, piece in enumerate(["he", "▁he", "ab", "▁▁", "hi"])]
    head = [("<unk>", 0.0, merge.UNKNOWN), ("<s>", 0.0, merge.CONTROL), ("</s>", 0.0, merge.CONTROL)]
    byte_pieces = [(f"<0x{byte:02X}>", 0.0, merge.BYTE) for byte in range(256)]
    path = folder / "tokenizer.model"
    path.write_bytes(merge.model_file([*head, *byte_pieces, *letters, *words], byte_fallback=True))
    options = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"} | options
    return backend.SentencePieceBackend(vocab_file=str(path), **options)


@pytest.mark.parametrize("around", ["none", "bos", "eos", "bos_eos"])
def test_from_a_sentencepiece_tokenizer_written_in_python(around: str, tmp_path: Path, texts: list[str]) -> None:
    theirs = sentencepiece_in_python(
        tmp_path, special_tokens_pattern=around, additional_special_tokens=["<|x|>", "hello there"]
    )
    ours = lw.Tokenizer.from_transformers(theirs)
    assert (len(ours), ours.bos_id, ours.eos_ids) == (len(theirs), theirs.bos_token_id, [theirs.eos_token_id])
    for text in [*texts, *mixtures(texts, 60, 9), "hello there<|x|> hi</s>  a"]:
        for add in (True, False):
            assert ours.encode(text, add_special_tokens=add, allow_special=True) == theirs.encode(
                text, add_special_tokens=add
            )
    assert ours.decode(ours.encode("hello he, ab")) == "hello he, ab"


def test_a_tokenizer_written_in_python_is_loaded_from_its_file(tmp_path: Path) -> None:
    theirs = sentencepiece_in_python(tmp_path)

    class WithoutModel:
        vocab_file = theirs.vocab_file
        added_tokens_decoder = theirs.added_tokens_decoder
        encode = theirs.encode

    assert lw.Tokenizer.from_transformers(WithoutModel()).encode("hehe") == theirs.encode("hehe")
    (tmp_path / "vocab.txt").write_text("[UNK]\n")
    WithoutModel.vocab_file = str(tmp_path / "vocab.txt")
    with pytest.raises(lw.TokenizerError, match=r"vocab\.txt is no model of SentencePiece.*Tokenizer\.from_"):
        lw.Tokenizer.from_transformers(WithoutModel())
    WithoutModel.vocab_file = str(tmp_path / "nope")
    with pytest.raises(FileNotFoundError, match="nope"):
        lw.Tokenizer.from_transformers(WithoutModel())


@pytest.mark.parametrize("change", [str.lower, str.strip, lambda text: text.replace(".", "")], ids=range(3))
def test_a_tokenizer_that_changes_a_text_in_python_is_refused(change: Any, tmp_path: Path) -> None:
    theirs = sentencepiece_in_python(tmp_path)
    encode = theirs.encode
    theirs.encode = lambda text, **options: encode(change(text), **options)
    with pytest.raises(lw.TokenizerError, match="SentencePieceBackend changes a text in Python"):
        lw.Tokenizer.from_transformers(theirs)


@pytest.mark.parametrize("form", [None, "NFC"])
def test_from_a_tiktoken_tokenizer_written_in_python(form: str | None, texts: list[str]) -> None:
    """As Qwen's first was, and Kimi's is."""
    tiktoken, transformers = pytest.importorskip("tiktoken"), pytest.importorskip("transformers")
    pattern = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"

    class Theirs(transformers.PreTrainedTokenizer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            special = {"<|endoftext|>": 300, "<|x|>": 302}
            self.model = tiktoken.Encoding("theirs", pat_str=pattern, mergeable_ranks=RANKS, special_tokens=special)
            super().__init__(**options)

        @property
        def vocab_size(self) -> int:
            return 303

        def get_vocab(self) -> dict[str, int]:
            return {}

        def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
            text = unicodedata.normalize(form, text) if form else text
            return [302] * add_special_tokens + self.model.encode(text, allowed_special="all")

        def build_inputs_with_special_tokens(self, ids: list[int], other: Any = None) -> list[int]:
            return [302, *ids]

    theirs = Theirs()
    ours = lw.Tokenizer.from_transformers(theirs, eos_tokens=["<|endoftext|>"])
    assert (len(ours), ours.eos_ids) == (303, [300])
    for text in [*texts, *mixtures(texts, 60, 9), "he\u0301<|x|>hello"]:
        assert ours.encode(text, allow_special=True) == theirs.encode(text)


def rank_file(ranks: dict[bytes, int]) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())


RANKS = {bytes([b]): b for b in range(256)} | {b"he": 256, b"ll": 257, b"hell": 258, b" h": 259, b"hello": 260}


def test_from_tiktoken(tmp_path: Path, texts: list[str]) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    special = {"<|end|>": 300, "<|x|>": 301}
    pattern = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
    theirs = tiktoken.Encoding("small", pat_str=pattern, mergeable_ranks=RANKS, special_tokens=special)
    path = tmp_path / "ranks.tiktoken"
    path.write_bytes(rank_file(RANKS))
    for given_file in (path, str(path), path.read_bytes()):
        ours = lw.Tokenizer.from_tiktoken(given_file, pattern=pattern, special_tokens=special)
        for text in [*texts, "hello hell<|end|> he"]:
            assert ours.encode(text) == theirs.encode_ordinary(text)
            assert ours.encode(text, allow_special=True) == theirs.encode(text, allowed_special="all")
    assert ours.eos_ids == [300]
    named = lw.Tokenizer.from_tiktoken(path, pattern="cl100k", special_tokens=special, eos_tokens=["<|x|>"])
    assert (named.encode("hello"), named.eos_ids) == ([260], [301])


@pytest.mark.parametrize("token_id", [-1, -(2**31), 2**32, 2**63, 2**70, -(2**70), np.int64(-1)], ids=str)
def test_an_id_that_no_vocabulary_has(token_id: int) -> None:
    ours = OURS["gpt-2"]
    assert ours.id_to_token(token_id) is None
    assert (ours.decode([token_id]), ours.detokenizer().step(token_id)) == ("", "")
    assert not ours.vocab.is_special(token_id)
    with pytest.raises(lw.TokenIdError):
        ours.vocab.token_bytes(token_id)
    with pytest.raises(lw.ParameterError) as caught:
        lw.Tokenizer.from_tiktoken(rank_file(RANKS), pattern="gpt2", special_tokens={"<s>": token_id})
    assert caught.value.field == ("special_tokens" if token_id < 0 else "vocab_size")
    for thing in ("5", 1.5, None):
        with pytest.raises(TypeError):
            ours.id_to_token(thing)  # type: ignore[arg-type]


def test_special_tokens_in_any_mapping() -> None:
    special = {"<s>": 300, "</s>": 301}
    ours = lw.Tokenizer.from_tiktoken(rank_file(RANKS), pattern="gpt2", special_tokens=MappingProxyType(special))
    assert ours.vocab.special_ids == [300, 301]
    for thing in ([("<s>", 300)], "<s>", 5, {5: 300}, {"<s>": "x"}):
        with pytest.raises(TypeError):
            lw.Tokenizer.from_tiktoken(rank_file(RANKS), pattern="gpt2", special_tokens=thing)  # type: ignore[arg-type]


def test_any_number_of_threads() -> None:
    texts = ["hello", "world"]
    assert OURS["gpt-2"].encode_batch(texts, threads=2**70) == OURS["gpt-2"].encode_batch(texts)
    for threads in (0, -1, -(2**70)):
        with pytest.raises(lw.ParameterError, match=str(threads)):
            OURS["gpt-2"].encode_batch(texts, threads=threads)


def test_two_tokens_of_one_id_are_named() -> None:
    file = {
        "version": "1.0",
        "model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, "z": 3, "b": 3, "c": 1, "y": 7, "x": 7}},
    }
    for _ in range(5):
        with pytest.raises(lw.VocabError, match='id 3 stands for two tokens, "b" and "z"'):
            lw.Tokenizer.from_json(json.dumps(file))


def test_copies_and_pickles() -> None:
    ours = OURS["gpt-2"]
    for shared in (ours, ours.vocab):
        assert copy.copy(shared) is copy.deepcopy(shared) is shared
        assert copy.deepcopy([shared])[0] is shared
    stream = ours.detokenizer()
    ids = ours.encode("é", add_special_tokens=False)
    shown = stream.step(ids[0])
    matcher = lw.StopMatcher(["END"])
    matcher.feed("xE")
    for copied in (copy.copy, copy.deepcopy):
        going_on, matching = copied(stream), copied(matcher)
        assert shown + "".join(map(going_on.step, ids[1:])) + going_on.finish() == "é"
        assert matching.feed("ND") == ("", "END")
    assert matcher.feed("!") == ("E!", None)
    for protocol in range(6):
        for thing in (ours, ours.vocab, stream, matcher):
            with pytest.raises(TypeError, match=f"{type(thing).__name__} is not pickled: "):
                pickle.dumps(thing, protocol)


FROM_FILE = {
    "tiktoken": partial(lw.Tokenizer.from_tiktoken, pattern="gpt2"),
    "tekken": lw.Tokenizer.from_tekken,
    "sentencepiece": lw.Tokenizer.from_sentencepiece,
}


@pytest.mark.parametrize("kind", FROM_FILE)
def test_other_formats_that_are_none(kind: str, tmp_path: Path) -> None:
    rng = random.Random(kind)
    for content in (
        b"",
        b"\0",
        b"{}",
        b"aGVsbG8= 1\n" * 3,
        b"\xff" * 100,
        rng.randbytes(5000),
        FILES["gpt-2"].encode(),
    ):
        with pytest.raises((lw.TokenizerError, lw.VocabError, lw.LimitError)):
            FROM_FILE[kind](content)
    for path in (tmp_path / "nope", tmp_path):
        with pytest.raises(OSError, match=re.escape(str(path))):
            FROM_FILE[kind](path)
    for thing in (None, 5, ["x"]):
        with pytest.raises(TypeError):
            FROM_FILE[kind](thing)


# -- the embedded model's ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2_gguf(smollm2_path: Path) -> lw.Gguf:
    with smollm2_path.open("rb") as file:
        return lw.Gguf(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@pytest.fixture(scope="module")
def ours_and_theirs(smollm2_gguf: lw.Gguf) -> tuple[lw.Tokenizer, Any]:
    """Ours from the file, theirs put together by hand, digits split one by one.

    Like llama.cpp, nothing merges across one of the eight bytes that the vocabulary lacks. Theirs would drop the byte
    first, so there it is an unknown token, dropped from the ids.
    """
    from tokenizers import AddedToken, decoders, models, pre_tokenizers

    meta = smollm2_gguf.metadata
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in meta["tokenizer.ggml.merges"]]
    vocab = {token: i for i, token in enumerate([*tokens, "\0"])}
    theirs = tokenizers.Tokenizer(models.BPE(vocab, merges, unk_token="\0"))
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    theirs.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3]
    theirs.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    return lw.Tokenizer.from_gguf(smollm2_gguf), theirs


def test_smollm2_facts(ours_and_theirs: tuple[lw.Tokenizer, Any]) -> None:
    ours, _ = ours_and_theirs
    assert len(ours) == 49_152
    assert (ours.bos_id, ours.eos_ids) == (1, [0, 2])
    assert [ours.token_to_id(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")] == [0, 1, 2]
    assert "im_start" in (ours.chat_template or "")
    assert ours.encode("The capital of France is") == [504, 3575, 282, 4649, 314]
    assert ours.encode("2026") == [34, 32, 34, 38]


def test_smollm2_encode_equals_theirs(ours_and_theirs: tuple[lw.Tokenizer, Any], texts: list[str]) -> None:
    for text in texts + mixtures(texts, 1200, 3):
        assert_encodes_alike(*ours_and_theirs, text)


def test_smollm2_stream_equals_decode_equals_theirs(
    ours_and_theirs: tuple[lw.Tokenizer, Any], texts: list[str]
) -> None:
    ours, _ = ours_and_theirs
    rng = random.Random(6)
    for text in texts + mixtures(texts, 400, 4):
        ids = ours.encode(text, allow_special=True)
        cut = rng.randint(0, len(ids))
        assert_decodes_alike(*ours_and_theirs, ids)
        assert_decodes_alike(*ours_and_theirs, ids[cut:])
    for _ in range(400):
        assert_decodes_alike(*ours_and_theirs, [rng.randrange(49_152) for _ in range(rng.randint(0, 20))])
        assert_decodes_alike(*ours_and_theirs, [rng.randrange(300) for _ in range(rng.randint(0, 20))])


def test_smollm2_gives_multilingual_text_back(ours_and_theirs: tuple[lw.Tokenizer, Any], texts: list[str]) -> None:
    """What it has all bytes for comes back as it was; the eight bytes it lacks are dropped, as everywhere."""
    ours, _ = ours_and_theirs
    missing = {0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xF1, 0xF2}
    for text in texts:
        kept = bytes(b for b in text.encode() if b not in missing).decode("utf-8", "replace")
        assert ours.decode(ours.encode(text), skip_special_tokens=False) == kept


UNIGRAM = {
    "version": "1.0",
    "added_tokens": [added_token(i, text, special=True) for i, text in enumerate(["<unk>", "</s>", "<|im_end|>"])],
    "normalizer": None,
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    "model": {
        "type": "Unigram",
        "unk_id": 0,
        "byte_fallback": False,
        "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["<|im_end|>", 0.0], ["▁", -2.0]]
        + [[piece, -3.0 - i / 8] for i, piece in enumerate([*"abehims<>/|_d", "▁a", "im", "end", "▁hi"])],
    },
}


@pytest.mark.parametrize("text", ["hi</s>", "</s>", "a <|im_end|> b", "<unk>", "漢</s>漢", "<|im_end|></s><unk>"])
def test_a_unigram_model_finds_no_special_token_in_what_was_typed(text: str) -> None:
    ours = lw.Tokenizer.from_json(json.dumps(UNIGRAM))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(UNIGRAM))
    assert ours.encode(text, allow_special=True) == theirs.encode(text).ids
    typed = ours.encode(text)
    assert not {1, 2} & set(typed)
    assert set(typed) & {0} == ({0} if set(text) & set("漢uk") else set())
    assert ours.decode(ours.encode("hi a"), skip_special_tokens=False) == "hi a"
    assert [ours.id_to_token(i) for i in range(3)] == ["<unk>", "</s>", "<|im_end|>"]
    assert (ours.token_to_id("</s>"), ours.vocab.token_bytes(1)) == (1, b"</s>")


@pytest.mark.parametrize(
    "normalizers",
    [
        [{"type": "Replace", "pattern": {"String": "x"}, "content": "x" * 1000}] * 4,
        [{"type": "Replace", "pattern": {"Regex": "x?"}, "content": "x" * 1000}] * 4,
        [
            {"type": "Prepend", "prepend": "x" * 100},
            {"type": "Replace", "pattern": {"String": "x"}, "content": "xx" * 50},
        ],
    ],
)
def test_a_normalizer_that_makes_a_text_a_thousand_times_longer_is_refused(normalizers: list[dict]) -> None:
    file = json.loads(tokenizer_json()) | {"normalizer": {"type": "Sequence", "normalizers": normalizers}}
    with pytest.raises(lw.errors.LimitError) as caught:
        lw.Tokenizer.from_json(json.dumps(file))
    assert caught.value.limit == "tokenizer_growth"


WHITESPACE = {"type": "WhitespaceSplit"}
FORGED = {
    "words": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "<s>": 1, "a": 2}},
    "word pieces": {
        "type": "WordPiece",
        "unk_token": "<unk>",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 99,
        "vocab": {"<unk>": 0, "<s>": 1, "a": 2, "<": 3, "##s": 4, "##>": 5},
    },
    "merges": {
        "type": "BPE",
        "unk_token": "<unk>",
        "vocab": {"<unk>": 0, "<s>": 1, "a": 2, "<": 3, "s": 4, ">": 5, "<s": 6},
        "merges": [["<", "s"], ["<s", ">"]],
    },
    "whole words": {
        "type": "BPE",
        "unk_token": "<unk>",
        "ignore_merges": True,
        "vocab": {"<unk>": 0, "<s>": 1, "a": 2, "<": 3, "s": 4, ">": 5},
        "merges": [],
    },
}


@pytest.mark.parametrize("kind", FORGED)
def test_no_model_makes_a_special_token_of_what_was_typed(kind: str) -> None:
    added = [added_token(i, text, special=True) for i, text in enumerate(["<unk>", "<s>"])]
    file = {"version": "1.0", "added_tokens": added, "pre_tokenizer": WHITESPACE, "model": FORGED[kind]}
    ours = lw.Tokenizer.from_json(json.dumps(file))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(file))
    for text in ("<s>", "a <s> a", "<s><s>", "a", "<unk>", "漢 a"):
        assert ours.encode(text, allow_special=True) == theirs.encode(text).ids
        assert 1 not in ours.encode(text), text
    assert (ours.id_to_token(1), ours.token_to_id("<s>"), ours.decode([1, 2], skip_special_tokens=False)) == (
        "<s>",
        1,
        "<s> a",
    )


PANICS = {
    "charsmap: it is no base64": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "!!"}},
    "charsmap: it is cut short": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=="}},
    "charsmap is no string": {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": None}]}
    },
    "a FixedLength of 0": {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "FixedLength", "length": 0}]}
    },
    "does not begin with": {"model": {"merges": ["a b"], "continuing_subword_prefix": "##"}},
    "a merge, .#., does not": {"model": {"merges": [["a", "#"]], "continuing_subword_prefix": "##"}},
    "a merge, .é., does not": {"model": {"merges": [["a", "é"]], "continuing_subword_prefix": "#"}},
    "duplicate field": {},
}


@pytest.mark.parametrize("fault", PANICS)
def test_what_the_library_would_panic_on_is_refused_before_it_does(
    fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A panic that is caught still writes to the standard error of whoever loads the file."""
    model = {
        "type": "BPE",
        "vocab": {token: i for i, token in enumerate(["a", "b", "ab", "##b", "#", "é"])},
        "merges": [],
    }
    parts = dict(PANICS[fault])
    file = json.dumps({"version": "1.0", "model": model | parts.pop("model", {}), **parts})
    if fault == "duplicate field":
        file = file[:-1] + ', "model": {}}'
    with pytest.raises(lw.TokenizerError, match=fault):
        lw.Tokenizer.from_json(file)
    assert capfd.readouterr().err == ""


def test_merges_of_tokens_with_a_prefix() -> None:
    model = {"type": "BPE", "vocab": {"a": 0, "##b": 1, "ab": 2}, "continuing_subword_prefix": "##"}
    for merges in (["a ##b"], [["a", "##b"]]):
        file = json.dumps({"version": "1.0", "model": model | {"merges": merges}})
        assert lw.Tokenizer.from_json(file).encode("ab") == [2] == tokenizers.Tokenizer.from_str(file).encode("ab").ids


def test_what_the_library_would_make_too_much_of_is_refused_before_it_does() -> None:
    file = json.loads(tokenizer_json())
    pieces = [[f"{i:06d}" + "x" * 1000, -1.0] for i in range(9000)]
    added = [added_token(1000 + i, f"<{i}>" + "y" * 1000, special=False) for i in range(1100)]
    for limit, parts in {
        "unigram_bytes": {"model": {"type": "Unigram", "unk_id": 0, "vocab": pieces}},
        "added_token_bytes": {"added_tokens": added},
        "token_bytes": {"added_tokens": [added_token(1000, "z" * 70_000, special=False)]},
    }.items():
        with pytest.raises(lw.errors.LimitError) as caught:
            lw.Tokenizer.from_json(json.dumps(file | parts))
        assert caught.value.limit == limit


def test_a_template_may_repeat_the_text() -> None:
    text: dict[str, Any] = {"Sequence": {"id": "A", "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [text, text],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {},
    }
    for post_processor in (template, {"type": "Sequence", "processors": [template]}):
        file = {"version": "1.0", "added_tokens": [], "post_processor": post_processor}
        file["model"] = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
        ours = lw.Tokenizer.from_json(json.dumps(file))
        assert ours.encode("ab") == ours.encode_with_offsets("ab")[0] == ours.encode_batch(["ab"])[0] == [2, 2]


def test_offsets_are_trimmed_by_whole_characters() -> None:
    file = {"version": "1.0", "added_tokens": []}
    file["model"] = {"type": "Unigram", "vocab": [["<unk>", 0.0], ["é", -1.0], ["\u3000b", -1.0]], "unk_id": 0}
    file["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    reference = tokenizers.Tokenizer.from_str(json.dumps(file))
    ours = lw.Tokenizer.from_json(json.dumps(file))
    text = "é\u3000béé"
    want = [tuple(len(text[:at].encode()) for at in offset) for offset in reference.encode(text).offsets]
    assert ours.encode_with_offsets(text) == (reference.encode(text).ids, want)
    assert want[1] == (5, 6)
