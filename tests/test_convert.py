"""Files of other formats become tokenizers that encode as their own libraries do.

Here on small vocabularies made for the purpose, against merging by hand; on those in use, see test_vocabularies.py.
"""

from __future__ import annotations

import json
import random
import re
import string
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reference import gguf
from reference.byte_level import alphabet
from reference.merge import (
    BPE,
    BYTE,
    CONTROL,
    NORMAL,
    UNIGRAM,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    merge_best,
    model_file,
    rank_file,
)

import logitwire as lw

ERRORS = (lw.TokenizerError, lw.VocabError, lw.LimitError)
BYTES = [bytes([byte]) for byte in range(256)]
BYTE_PIECES = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
SPACE = "\u2581"

words = st.text("abc", min_size=2, max_size=6)
word_lists = st.lists(words, unique=True, max_size=30)


def gguf_file(pieces: list[tuple[str, float, int]], **more: Any) -> lw.Gguf:
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [text for text, _, _ in pieces],
        "tokenizer.ggml.scores": [score for _, score, _ in pieces],
        "tokenizer.ggml.token_type": np.array([kind for _, _, kind in pieces], np.int32),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    return lw.Gguf(gguf.write({**metadata, **{f"tokenizer.ggml.{key}": value for key, value in more.items()}}, {}))


# -- tiktoken ----------------------------------------------------------------------------------------------------------


@given(word_lists, st.lists(st.text("abc 1\n", max_size=30), max_size=5))
def test_ranks(tokens: list[str], texts: list[str]) -> None:
    ids = {token: rank for rank, token in enumerate([*map(chr, range(256)), *tokens])}
    ours = lw.Tokenizer.from_tiktoken(rank_file([*BYTES, *(t.encode() for t in tokens)]), pattern="gpt2")
    for text in texts:
        want = []
        for word in re.findall(r" ?[a-z]+| ?[0-9]+|\s+(?!\S)|\s+", text):
            want += [ids[word]] if word in ids else [ids[piece] for piece in merge_best(list(word), ids.get)]
        assert ours.encode(text) == want
        assert ours.decode(want) == text


def test_a_token_that_merging_does_not_make_is_found_as_a_whole_word() -> None:
    ours = lw.Tokenizer.from_tiktoken(rank_file([*BYTES, b"abc"]), pattern="gpt2")
    assert ours.encode("abc") == [256]
    assert ours.encode("abcd") == [*b"abcd"]


def test_special_tokens_have_the_ids_they_are_given() -> None:
    special = {"<|end|>": 300, "<|x|>": 260}
    ours = lw.Tokenizer.from_tiktoken(rank_file([*BYTES, b"ab"]), pattern="cl100k_base", special_tokens=special)
    assert ours.encode("ab<|x|>ab<|end|>", allow_special=True) == [256, 260, 256, 300]
    assert not {260, 300} & set(ours.encode("ab<|x|>ab<|end|>"))
    assert (len(ours), ours.vocab.special_ids) == (301, [260, 300])


@pytest.mark.parametrize(
    ("file", "options"),
    [
        (b"", {}),
        (b"\xff\xfe", {}),
        (rank_file(BYTES[1:]), {}),
        (rank_file([*BYTES, b"ab"]) + b"YWM= 256", {}),
        (rank_file([*BYTES, b"ab"]) + b"YWI= 257", {}),
        (rank_file(BYTES) + b"YWI= -1", {}),
        (rank_file(BYTES) + b"YWI= 4294967296", {}),
        (rank_file(BYTES) + b"YWI= 4294967295", {}),
        (rank_file(BYTES) + b"YW!= 256", {}),
        (rank_file(BYTES) + b"YWI=", {}),
        (rank_file(BYTES) + b" 256", {}),
        (rank_file(BYTES), {"pattern": "gpt99"}),
        (rank_file(BYTES), {"pattern": "(("}),
        (rank_file(BYTES), {"pattern": r"\p{N}{1,3}+|[^0-9]"}),
        (rank_file(BYTES), {"special_tokens": {"<s>": 5}}),
        (rank_file(BYTES), {"special_tokens": {"a": 300}}),
        (rank_file(BYTES), {"special_tokens": {"": 300}}),
        (rank_file(BYTES), {"special_tokens": {"<s>": 2**32 - 1}}),
    ],
    ids=str,
)
def test_rank_files_that_are_wrong(file: bytes, options: dict[str, Any]) -> None:
    with pytest.raises(ERRORS):
        lw.Tokenizer.from_tiktoken(file, **{"pattern": "gpt2", **options})


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d{1,3}+|\D",
        r"\s{2}+|\S|\s",
        r"\\{1,3}+|\S|\s",
        r"\PL+|\pL+",
        r"[a-z--b]+|\S|\s",
        r"[a-z~~b]+|\S|\s",
        r"(?i:\p{Lu})+|\S|\s",
        r"(?i)(a|[\p{L}\p{Ll}])+|\S|\s",
        r"(?-i:(?i)x|(\P{Lt}))|\S|\s",
    ],
)
def test_a_pattern_that_the_library_would_read_otherwise_is_refused(pattern: str) -> None:
    with pytest.raises(lw.errors.TokenizerError, match="pattern"):
        lw.Tokenizer.from_tiktoken(rank_file(BYTES), pattern=pattern)


@pytest.mark.parametrize(
    "pattern", [r"(?i:'s)|\p{Lu}+|\P{Lu}", r"(?i)x(?-i:\p{Lu})|\p{L}|\P{L}", r"\x{61}{2}|[a\-b-c~]|[^a]|a"]
)
def test_a_pattern_that_is_much_like_one_is_taken(pattern: str) -> None:
    assert lw.Tokenizer.from_tiktoken(rank_file(BYTES), pattern=pattern).encode("aAb-") == list(b"aAb-")


# -- tekken ------------------------------------------------------------------------------------------------------------


def tekken(special: list[str] | None, n_special: int = 25, **changes: Any) -> bytes:
    vocab = [*BYTES, b"ab", b"abc", b"not in the vocabulary"]
    file: dict[str, Any] = {
        "config": {
            "pattern": r"[a-z]+|[^a-z]",
            "num_vocab_tokens": len(vocab),
            "default_vocab_size": 258 + n_special,
            "default_num_special_tokens": n_special,
            "version": "v3",
        },
        "vocab": [{"rank": i, "token_bytes": b64encode(t).decode(), "token_str": None} for i, t in enumerate(vocab)],
    }
    if special is not None:
        file["special_tokens"] = [{"rank": i, "token_str": t, "is_control": True} for i, t in enumerate(special)]
    return json.dumps({**file, **changes}).encode()


@pytest.mark.parametrize("special", [None, ["<unk>", "<s>", "</s>", "[INST]"]], ids=["older", "newer"])
def test_tekken(special: list[str] | None) -> None:
    ours = lw.Tokenizer.from_tekken(tekken(special))
    assert ours.encode("abcab[INST]", allow_special=True) == [1, 25 + 257, 25 + 256, 3]
    assert ours.encode("é", add_special_tokens=False) == [25 + 0xC3, 25 + 0xA9]
    assert ours.token_to_id("<SPECIAL_24>") == 24
    assert (len(ours), ours.bos_id, ours.eos_ids, ours.vocab.special_ids) == (283, 1, [2], list(range(25)))


@pytest.mark.parametrize(
    "file",
    [
        b"{}",
        b"[" * 100_000,
        tekken(None)[:-2],
        tekken(None, 19),
        tekken(["<s>", "<s>"]),
        tekken(["<s>", "<SPECIAL_24>"]),
        tekken(["<s>"], special_tokens=[{"rank": 1, "token_str": "<s>"}]),
        tekken(None, vocab=[]),
        tekken(None, vocab=[{"rank": 0, "token_bytes": "AA=="}] * 300),
        tekken(None, vocab=[{"rank": -1, "token_bytes": "AA=="}] * 300),
        tekken(None, config={"pattern": "a", "default_vocab_size": 2**32 - 1, "default_num_special_tokens": 2}),
        tekken(None, config={"pattern": "a", "default_vocab_size": 1, "default_num_special_tokens": 2**32 - 1}),
    ],
    ids=range(12),
)
def test_tekken_files_that_are_wrong(file: bytes) -> None:
    with pytest.raises(ERRORS):
        lw.Tokenizer.from_tekken(file)


# -- SentencePiece -----------------------------------------------------------------------------------------------------


def sentencepiece_ids(pieces: list[tuple[str, float, int]], text: str) -> list[int]:
    """BPE with byte fallback, the spaces already replaced."""
    ids = {piece: i for i, (piece, _, _) in enumerate(pieces)}
    scores = {piece: -score for piece, score, kind in pieces if kind == NORMAL}
    out = []
    for piece in merge_best(list(text), scores.get):
        out += [ids[piece]] if piece in ids else [ids[f"<0x{byte:02X}>"] for byte in piece.encode()]
    return out


HEAD = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), *BYTE_PIECES]
LETTERS = [(letter, -1e6 - i, NORMAL) for i, letter in enumerate(SPACE + "abc")]


@given(
    st.lists(st.text(SPACE + "abc", min_size=2, max_size=6), unique=True, max_size=30), st.text("abc x\né", max_size=30)
)
def test_scores(tokens: list[str], text: str) -> None:
    pieces = [*HEAD, *LETTERS, *((token, -float(i), NORMAL) for i, token in enumerate(tokens))]
    spaced = SPACE + text.replace(" ", SPACE) if text else ""
    want = sentencepiece_ids(pieces, spaced)
    ours = lw.Tokenizer.from_sentencepiece(model_file(pieces, byte_fallback=True))
    assert ours.encode(text) == want
    assert ours.decode(want) == text
    from_gguf = lw.Tokenizer.from_gguf(gguf_file(pieces))
    assert from_gguf.encode(text) == [1, *want]
    assert from_gguf.encode(text, add_special_tokens=False) == want
    assert (ours.bos_id, ours.eos_ids) == (from_gguf.bos_id, from_gguf.eos_ids) == (1, [2])


@pytest.mark.parametrize("lengths", [range(2, 17), [*range(2, 15), 16], [2], [2, 3, 4, 8]], ids=str)
def test_runs_of_spaces_of_equal_score(lengths: list[int]) -> None:
    pieces = [*HEAD, *LETTERS, (SPACE + "a", -1.0, NORMAL), *((SPACE * n, -1e9, NORMAL) for n in lengths)]
    ours = lw.Tokenizer.from_sentencepiece(model_file(pieces, byte_fallback=True))
    for n in range(80):
        for text in (" " * n, " " * n + "a", "b" + " " * n + "a" + " " * n):
            assert ours.encode(text) == sentencepiece_ids(pieces, SPACE + text.replace(" ", SPACE) if text else "")


@given(word_lists, st.lists(st.integers(0, 6), min_size=30, max_size=30), st.text("abc", max_size=20))
def test_equal_scores_are_right_or_refused(tokens: list[str], scores: list[int], text: str) -> None:
    pieces = [*HEAD, *LETTERS, *((t, -float(s), NORMAL) for t, s in zip(tokens, scores, strict=False))]
    try:
        ours = lw.Tokenizer.from_sentencepiece(model_file(pieces, byte_fallback=True, add_dummy_prefix=False))
    except lw.TokenizerError as error:
        refused = str(error)
    else:
        refused = None
        assert ours.encode(text) == sentencepiece_ids(pieces, text)
    assert refused is None or "same score" in refused


def test_what_a_model_does_with_spaces() -> None:
    pieces = [*HEAD, *LETTERS]
    space, a = len(HEAD), len(HEAD) + 1
    for dummy, remove, text, want in [
        (True, False, " a ", [space, space, a, space]),
        (True, True, "  a   a ", [space, a, space, a]),
        (True, True, "a" + SPACE + " ", [space, a]),
        (True, True, "   ", []),
        (False, True, "  a  a ", [a, space, a]),
        (False, False, " a", [space, a]),
        (True, True, "", []),
    ]:
        file = model_file(pieces, byte_fallback=True, add_dummy_prefix=dummy, remove_extra_whitespaces=remove)
        assert lw.Tokenizer.from_sentencepiece(file).encode(text) == want, (dummy, remove, text)


SUFFIXED = [*HEAD, *LETTERS, *((piece, -1.0 - i, NORMAL) for i, piece in enumerate(["ab", "ab" + SPACE, "b" + SPACE]))]


@pytest.mark.parametrize("model_type", [BPE, UNIGRAM])
@given(st.booleans(), st.booleans(), st.text("ab \n" + SPACE, max_size=12))
@example(True, True, SPACE)
@example(True, True, " " + SPACE + " ")
@example(True, False, " ")
def test_spaces_after_their_words(model_type: int, dummy: bool, remove: bool, text: str) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    options = {"add_dummy_prefix": dummy, "remove_extra_whitespaces": remove, "treat_whitespace_as_suffix": True}
    file = model_file(SUFFIXED, model_type=model_type, byte_fallback=True, **options)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=file)
    ours = lw.Tokenizer.from_sentencepiece(file)
    ids = theirs.encode(text)
    assert ours.encode(text) == ids
    if not remove:
        assert ours.decode(ids) == theirs.decode(ids)


def test_spaces_after_words_beside_user_defined_pieces_are_refused() -> None:
    pieces = [*SUFFIXED, ("[x]", 0.0, USER_DEFINED)]
    with pytest.raises(lw.TokenizerError, match="treat_whitespace_as_suffix beside user-defined pieces"):
        lw.Tokenizer.from_sentencepiece(model_file(pieces, byte_fallback=True, treat_whitespace_as_suffix=True))
    lw.Tokenizer.from_sentencepiece(
        model_file(pieces, byte_fallback=True, treat_whitespace_as_suffix=True, add_dummy_prefix=False)
    )


def test_pieces_that_are_not_normal() -> None:
    pieces = [*HEAD, *LETTERS, ("[x]", 0.0, USER_DEFINED), ("ab", -1.0, NORMAL), ("<a>", 0.0, CONTROL)]
    space, a, user, ab, control = len(HEAD), len(HEAD) + 1, len(pieces) - 3, len(pieces) - 2, len(pieces) - 1
    ours = lw.Tokenizer.from_sentencepiece(model_file(pieces, byte_fallback=True))
    assert ours.encode("ab[x]ab") == [space, ab, user, ab]
    assert ours.encode("[x]a") == [space, user, a]
    assert control not in ours.encode("<a>")
    assert ours.encode("<a>", allow_special=True) == [control]
    assert ours.vocab.special_ids == [0, 1, 2, control]
    unknown = lw.Tokenizer.from_sentencepiece(model_file([("<unk>", 0.0, UNKNOWN), *LETTERS]))
    assert unknown.encode("axxa") == [1, 2, 0, 2]


def test_unigram() -> None:
    pieces = [("<unk>", 0.0, UNKNOWN), (SPACE, -3.0, NORMAL), ("a", -4.0, NORMAL), ("b", -4.0, NORMAL)]
    pieces += [(SPACE + "a", -5.0, NORMAL), ("ab", -5.0, NORMAL), ("aba", -20.0, NORMAL)]
    ours = lw.Tokenizer.from_sentencepiece(model_file(pieces, model_type=UNIGRAM))
    assert ours.encode("a") == [4]
    assert ours.encode("aba") == [1, 5, 2]
    assert ours.encode("xx") == [1, 0]


@given(st.text("abx", max_size=12))
def test_an_unused_piece_of_unigram_is_never_found(text: str) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    pieces = [("<unk>", 0.0, UNKNOWN), *((piece, -3.0, NORMAL) for piece in [SPACE, "a", "b", "ab"])]
    file = model_file([*pieces, ("aba", -1.0, UNUSED), ("ba", -1.0, UNUSED)], model_type=UNIGRAM)
    ours = lw.Tokenizer.from_sentencepiece(file)
    assert ours.encode(text) == sentencepiece.SentencePieceProcessor(model_proto=file).encode(text)
    for unused in ("x", "ax"):
        with pytest.raises(lw.TokenizerError, match=f'"{unused}" is unused, and not all of its characters are pieces'):
            lw.Tokenizer.from_sentencepiece(model_file([*pieces, (unused, -1.0, UNUSED)], model_type=UNIGRAM))


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [("a", 0.0, NORMAL)],
        [("<unk>", 0.0, UNKNOWN), ("<unk2>", 0.0, UNKNOWN)],
        [("<unk>", 0.0, UNKNOWN), ("a", 0.0, NORMAL), ("a", 0.0, NORMAL)],
        [("<unk>", 0.0, UNKNOWN), ("", 0.0, NORMAL)],
        [("<unk>", 0.0, UNKNOWN), ("a", float("nan"), NORMAL)],
        [("<unk>", 0.0, UNKNOWN), ("a", float("-inf"), NORMAL)],
        [("<unk>", 0.0, UNKNOWN), ("a", 0.0, 7)],
        [("<unk>", 0.0, UNKNOWN), ("a", 0.0, NORMAL), ("aa", 0.0, UNUSED)],
        [("<unk>", 0.0, UNKNOWN), ("ab", 0.0, NORMAL)],
        [("<unk>", 0.0, UNKNOWN), *BYTE_PIECES[:-1]],
        [("<unk>", 0.0, UNKNOWN), (f"[{SPACE}]", 0.0, USER_DEFINED)],
    ],
    ids=range(12),
)
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_models_that_are_wrong(pieces: list[tuple[str, float, int]], byte_fallback: bool) -> None:
    with pytest.raises(ERRORS):
        lw.Tokenizer.from_sentencepiece(model_file(pieces, byte_fallback=byte_fallback))


# -- GGUF --------------------------------------------------------------------------------------------------------------


def test_gguf_without_a_space_in_front_and_with_tokens_around() -> None:
    pieces = [*HEAD, *LETTERS]
    ours = lw.Tokenizer.from_gguf(gguf_file(pieces, add_space_prefix=False, add_bos_token=False, add_eos_token=True))
    assert ours.encode("a b") == [len(HEAD) + 1, len(HEAD), len(HEAD) + 2, 2]
    assert ours.decode(ours.encode("a b")) == "a b"


def test_gguf_of_gemma_4() -> None:
    head = [("<pad>", 0.0, CONTROL), ("<eos>", 0.0, CONTROL), ("<bos>", 0.0, CONTROL), *BYTE_PIECES]
    pieces = [
        *head,
        *LETTERS,
        ("\n", 0.0, NORMAL),
        ("\n\n", 0.0, NORMAL),
        (SPACE * 2, 0.0, NORMAL),
        ("ab", 0.0, NORMAL),
    ]
    more = {"model": "gemma4", "bos_token_id": 2, "eos_token_id": 1, "unknown_token_id": 0, "add_bos_token": False}
    ours = lw.Tokenizer.from_gguf(gguf_file(pieces, **more, merges=["\n \n", f"{SPACE} {SPACE}", "a b"]))
    ids = {piece: i for i, (piece, _, _) in enumerate(pieces)}
    assert ours.encode("ab  \n\nb") == [2, ids["ab"], ids[SPACE * 2], ids["\n\n"], ids["b"]]
    assert ours.decode(ours.encode(" é  ab")) == " é  ab"
    assert ours.eos_ids == [1]


WORD_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[unused0]", "▁he", "llo", "▁É", "▁e", "▁w", "e", "▁<", "▁#", "#"]
BERT = {"model": "bert", "cls_token_id": 2, "seperator_token_id": 3, "unknown_token_id": 1, "bos_token_id": 2}


def word_piece_file(**more: Any) -> lw.Gguf:
    pieces = [(token, 0.0, CONTROL if i < 4 else NORMAL) for i, token in enumerate(WORD_PIECES)]
    return gguf_file(pieces, **{**BERT, **more})


def test_gguf_of_bert() -> None:
    ours = lw.Tokenizer.from_gguf(word_piece_file())
    ids = {token: i for i, token in enumerate(WORD_PIECES)}
    assert ours.encode("HELLO é w <# ") == [2, ids["▁he"], ids["llo"], ids["▁e"], ids["▁w"], ids["▁<"], ids["▁#"], 3]
    assert ours.encode("hellox [SEP]", add_special_tokens=False) == [1, 1, 1, 1]
    assert ours.encode("[SEP]we", allow_special=True) == [2, 3, ids["▁w"], ids["e"], 3]
    assert [ours.id_to_token(i) for i in (2, 4, 5, 6, 13)] == ["[CLS]", "[unused0]", "he", "##llo", "###"]
    assert (ours.bos_id, ours.vocab.special_ids, ours.decode([2, 5, 6, 9, 3])) == (2, [0, 1, 2, 3], "hello w")
    cased = lw.Tokenizer.from_gguf(word_piece_file(**{"normalizer.lowercase": False}))
    assert cased.encode("É he HE", add_special_tokens=False) == [ids["▁É"], ids["▁he"], 1]
    accents = lw.Tokenizer.from_gguf(word_piece_file(**{"normalizer.strip_accents": False}))
    assert accents.encode("É e", add_special_tokens=False) == [1, ids["▁e"]]


def test_gguf_of_t5() -> None:
    pieces = [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), (SPACE, -3.0, NORMAL)]
    pieces += [("a", -4.0, NORMAL), (SPACE + "a", -5.0, NORMAL), ("ab", -5.0, NORMAL), ("[PAD7]", -1e3, UNUSED)]
    pieces += [(letter, -6.0, NORMAL) for letter in "[PAD7]"]
    t5 = {"model": "t5", "eos_token_id": 1, "unknown_token_id": 2}
    ours = lw.Tokenizer.from_gguf(gguf_file(pieces, **t5))
    assert ours.encode("a ab") == [5, 3, 6, 1]
    assert ours.encode("  xx", add_special_tokens=False) == [3, 3, 3, 2]
    assert 7 not in ours.encode("[PAD7]", allow_special=True)
    assert (ours.bos_id, ours.eos_ids, ours.decode([5, 3, 6, 1])) == (1, [1], "a ab")
    one_space = gguf_file(pieces, **t5, remove_extra_whitespaces=True, add_space_prefix=False, add_eos_token=False)
    assert lw.Tokenizer.from_gguf(one_space).encode("  a  a ") == [4, 5]


@pytest.mark.parametrize(
    ("kind", "more", "named"),
    [
        ("bert", {"unknown_token_id": 99}, "unknown_token_id is 99"),
        ("bert", {"seperator_token_id": -1}, "seperator_token_id"),
        ("bert", {"normalizer.lowercase": 1}, "normalizer.lowercase"),
        ("bert", {"tokens": [*WORD_PIECES[:-1], "▁##llo"]}, "a token stands twice"),
        ("t5", {"precompiled_charsmap": [1, 2]}, "cut short"),
        ("t5", {"precompiled_charsmap": [1, 2, 256]}, "no array of bytes"),
        ("t5", {"precompiled_charsmap": "abc"}, "no array of bytes"),
        ("t5", {"scores": "abc"}, "scores is no array of floats"),
    ],
)
def test_gguf_of_bert_and_t5_that_is_wrong(kind: str, more: dict[str, Any], named: str) -> None:
    pieces = [(token, -1.0, CONTROL if i < 4 else NORMAL) for i, token in enumerate(WORD_PIECES)]
    metadata = {"tokens": WORD_PIECES, **BERT, "model": kind, **more}
    with pytest.raises((*ERRORS, lw.ModelFileError), match=named):
        lw.Tokenizer.from_gguf(gguf_file(pieces, **metadata))


@pytest.mark.parametrize(
    "pre",
    [
        None,
        "default",
        "gpt-2",
        "smollm",
        "llama-bpe",
        "qwen2",
        "qwen35",
        "tekken",
        "gpt-4o",
        "falcon",
        "deepseek-coder",
        "deepseek-llm",
        "deepseek-v3",
        "command-r",
        "mpt",
    ],
)
def test_gguf_gives_back_every_text_whatever_the_pre_tokenizer(pre: str | None, texts: list[str]) -> None:
    tokens = [*alphabet(), "ab", "<e>"]
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": np.array([NORMAL] * 257 + [CONTROL], np.int32),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 257,
    }
    if pre is not None:
        metadata["tokenizer.ggml.pre"] = pre
    ours = lw.Tokenizer.from_gguf(lw.Gguf(gguf.write(metadata, {})))
    for text in texts:
        ids = ours.encode(text, add_special_tokens=False)
        assert ours.decode(ids) == text


# -- hostile files -----------------------------------------------------------------------------------------------------

VALID: dict[str, tuple[bytes, Any]] = {
    "tiktoken": (
        rank_file([*BYTES, b"ab", b"abc"]),
        lambda file: lw.Tokenizer.from_tiktoken(file, pattern="llama3", special_tokens={"<s>": 300}),
    ),
    "tekken": (tekken(["<unk>", "<s>"]), lw.Tokenizer.from_tekken),
    "bpe": (
        model_file([*HEAD, *LETTERS, ("ab", -1.0, NORMAL), ("[x]", 0.0, USER_DEFINED)], byte_fallback=True),
        lw.Tokenizer.from_sentencepiece,
    ),
    "unigram": (
        model_file([("<unk>", 0.0, UNKNOWN), *LETTERS, ("ab", -1.0, NORMAL)], model_type=UNIGRAM),
        lw.Tokenizer.from_sentencepiece,
    ),
}


@pytest.mark.parametrize("name", VALID)
def test_every_truncation_and_random_damage(name: str) -> None:
    """Each ends in a tokenizer that encodes and decodes, or in a typed error."""
    rng = random.Random(name)
    file, load = VALID[name]
    damaged = [file[:n] for n in range(0, len(file), 1 + len(file) // 800)]
    for _ in range(800):
        copy = bytearray(file)
        for _ in range(rng.choice([1, 1, 1, 3])):
            copy[rng.randrange(len(copy))] = rng.choice([rng.randrange(256), *string.digits.encode()])
        damaged.append(bytes(copy))
    for data in damaged:
        try:
            ours = load(data)
            ours.decode(ours.encode("abc <s>[x] é", allow_special=True))
        except ERRORS:
            pass
