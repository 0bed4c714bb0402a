"""Decoders of every kind: what streams is what decoding all at once gives, and that is what `tokenizers` gives."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from reference import decoder as reference

import logitwire as lw

tokenizers = pytest.importorskip("tokenizers")

Decoder = dict[str, Any]

REPLACE: Decoder = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
BYTES: Decoder = {"type": "ByteFallback"}
FUSE: Decoder = {"type": "Fuse"}
BYTE_LEVEL: Decoder = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
STRIP: Decoder = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def sequence(*decoders: Decoder) -> Decoder:
    return {"type": "Sequence", "decoders": list(decoders)}


def metaspace(scheme: str, replacement: str = "▁") -> Decoder:
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": True}


def word_piece(cleanup: bool) -> Decoder:
    return {"type": "WordPiece", "prefix": "##", "cleanup": cleanup}


def ctc(cleanup: bool) -> Decoder:
    return {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": cleanup}


def text_of(pattern: str, content: str) -> Decoder:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


COMPILED: dict[str, Decoder | None] = {
    "none": None,
    "byte level": BYTE_LEVEL,
    "fuse": FUSE,
    "empty sequence": sequence(),
    "llama 2": sequence(REPLACE, BYTES, FUSE, STRIP),
    "gemma": sequence(REPLACE, BYTES, FUSE),
    "metaspace": metaspace("always"),
    "metaspace first": metaspace("first"),
    "metaspace never": metaspace("never"),
    "bytes, metaspace": sequence(BYTES, metaspace("always")),
    "bytes, metaspace never": sequence(BYTES, metaspace("never")),
    "bytes": BYTES,
    "word piece": word_piece(False),
    "word piece, clean": word_piece(True),
    "suffix": {"type": "BPEDecoder", "suffix": "</w>"},
    "metaspace, suffix": sequence(metaspace("always"), {"type": "BPEDecoder", "suffix": "</w>"}),
    "ctc": ctc(False),
    "ctc, clean": ctc(True),
    "metaspace, ctc": sequence(metaspace("always"), ctc(True)),
    "byte level, clean": sequence(BYTE_LEVEL, FUSE, *[text_of(a, b) for a, b in reference.CLEANUP]),
    "strip tokens": sequence({"type": "Strip", "content": "▁", "start": 1, "stop": 0}, BYTES),
    "strip both ends": sequence(REPLACE, FUSE, {"type": "Strip", "content": " ", "start": 2, "stop": 3}),
    "byte token text": sequence(FUSE, BYTES),
    "regex tokens": sequence({"type": "Replace", "pattern": {"Regex": "[ab]+"}, "content": "x"}, BYTES),
    "everything after fuse": sequence(
        FUSE, text_of("aa", "b"), text_of("ab", ""), metaspace("never"), word_piece(True)
    ),
    "ctc over text": sequence(FUSE, ctc(True)),
}

WINDOW: dict[str, Decoder] = {
    "regex over text": sequence(FUSE, {"type": "Replace", "pattern": {"Regex": "a+b"}, "content": "x"}),
    "byte level over text": sequence(FUSE, BYTE_LEVEL),
    "strip after bytes": sequence(BYTES, STRIP),
    "strip ends after bytes": sequence(BYTES, {"type": "Strip", "content": " ", "start": 1, "stop": 1}),
}

# What breaks decoders: marks and prefixes inside and outside, cleanup's literals in pieces, bytes of every class.
STRINGS = """
a b aa ab ▁ ▁▁ ▁a ▁b a▁ ▁▁b▁ ## ##a a## </w> a</w> b</w> </w>b . ? n't 't ' 's | <pad> a| || < <0x 41 > <0x4
<0x+F> <0xZZ> <0x410> é ▁é 漢 👩 Ġ Ġa Ã © Ã© ð Ł ĺ Ģ ｜x｜ Ġ｜
""".split()
STRINGS += ["", " ", "  ", " a", "a ", " .", " n't", " n", " ' ", " do", " not", " do not", " '", "\u200d", "\ufffd"]
STRINGS += ["\x00", "\u2028", "\r\n", "x" * 50]
STRINGS += [f"<0x{byte:02X}>" for byte in bytes.fromhex("00 41 80 a9 bf c3 e2 96 81 f0 9f 98 ed ff")]
SPECIAL = ["<s>", "▁</s>", "Ġend"]


def tokenizer_json(decoder: Decoder | None) -> str:
    """Every string above is a token; how text is cut into them is of no account here."""
    vocab = {token: i for i, token in enumerate([*STRINGS, *SPECIAL])}
    added = [
        {"id": vocab[token], "content": token, "special": True, "normalized": False}
        | dict.fromkeys(["single_word", "lstrip", "rstrip"], False)
        for token in SPECIAL
    ]
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "a"}
    return json.dumps({"version": "1.0", "added_tokens": added, "decoder": decoder, "model": model})


def random_ids(rng: random.Random) -> list[int]:
    """A few kinds of token at a time, so that runs and pairs that matter come up; now and then an id there is not."""
    vocab = len(STRINGS) + len(SPECIAL)
    few = [rng.randrange(vocab) for _ in range(rng.randint(1, 12))]
    ids = [rng.choice(few) if rng.random() < 0.9 else rng.randrange(vocab) for _ in range(rng.randint(0, 14))]
    return [rng.choice([-1, vocab, 2**31]) if rng.random() < 0.02 else i for i in ids]


def streamed(detokenizer: lw.Detokenizer, ids: Sequence[int]) -> str:
    return "".join([*map(detokenizer.step, ids), detokenizer.finish()])


def tokens_of(ids: Sequence[int], skip_special_tokens: bool) -> list[str]:
    strings = [*STRINGS, *SPECIAL]
    kept = [strings[i] for i in ids if 0 <= i < len(strings)]
    return [token for token in kept if not (skip_special_tokens and token in SPECIAL)]


def check(decoder: Decoder | None, rng: random.Random, n_streams: int) -> None:
    ours = lw.Tokenizer.from_json(tokenizer_json(decoder))
    theirs = tokenizers.Tokenizer.from_str(tokenizer_json(decoder))
    assert ours.decoder == "compiled"
    for _ in range(n_streams):
        ids = random_ids(rng)
        known = [i for i in ids if 0 <= i < len(ours)]
        for skip in (True, False):
            for rule in ("eager", "hf"):
                text = reference.decode(decoder, tokens_of(ids, skip), rule)
                case = (
                    decoder,
                    [STRINGS[i] if i < len(STRINGS) else SPECIAL[i - len(STRINGS)] for i in known],
                    skip,
                    rule,
                )
                stream = ours.detokenizer(skip_special_tokens=skip, byte_fallback=rule)
                assert ours.decode(ids, skip_special_tokens=skip, byte_fallback=rule) == text, case
                assert streamed(stream, ids) == text, case
                assert streamed(stream, ids) == text, (case, "a second time")
            library = library_text(theirs, known, skip)
            assert library == text or (library is None and "Strip" in json.dumps(decoder)), (decoder, ids, skip)


def library_text(tokenizer: Any, ids: list[int], skip_special_tokens: bool) -> str | None:
    """None where the library panics, which it does on a token shorter than what is to be stripped off its end."""
    try:
        text: str = tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None
    return text


@pytest.mark.parametrize("name", COMPILED)
def test_streamed_is_decoded_is_the_librarys(name: str) -> None:
    check(COMPILED[name], random.Random(name), 400)


def random_decoder(rng: random.Random) -> Decoder:
    character = rng.choice(" a▁|")
    stages: list[Decoder] = [
        REPLACE,
        text_of(rng.choice(["▁", "a", "aa", "ab", " ", "</w>", "é", "\ufffd"]), rng.choice(["", " ", "x", "ab"])),
        {"type": "Replace", "pattern": {"Regex": rng.choice(["[ab]", "a+", "▁b?"])}, "content": rng.choice(["", "c"])},
        {"type": "Strip", "content": character, "start": rng.randint(0, 2), "stop": rng.randint(0, 2)},
        metaspace(rng.choice(["always", "first", "never"]), rng.choice("▁▁a")),
        word_piece(rng.random() < 0.5),
        {"type": "BPEDecoder", "suffix": rng.choice(["</w>", "a"])},
        ctc(rng.random() < 0.5),
        BYTE_LEVEL,
        BYTES,
        FUSE,
    ]
    return sequence(*[rng.choice(stages) for _ in range(rng.randint(1, 4))])


def test_random_pipelines() -> None:
    rng = random.Random(2)
    n_compiled = 0
    for _ in range(600):
        decoder = random_decoder(rng)
        if lw.Tokenizer.from_json(tokenizer_json(decoder)).decoder == "compiled":
            n_compiled += 1
            check(decoder, rng, 12)
    assert n_compiled > 300


def test_a_continued_stream_is_what_comes_after_the_prompt() -> None:
    """decode(prompt) and the stream are decode(prompt + ids) wherever the prompt's own text was final; elsewhere the
    stream is what the ids add to what counts as shown."""
    rng = random.Random(5)
    n_final = n_others = 0
    for name, decoder in COMPILED.items():
        tokenizer = lw.Tokenizer.from_json(tokenizer_json(decoder))
        for _ in range(400):
            ids = random_ids(rng)
            cut = rng.randint(0, len(ids))
            tokens = tokens_of(ids[:cut], True), tokens_of(ids[cut:], True)
            for rule in ("eager", "hf"):
                prompt, whole = (tokenizer.decode(part, byte_fallback=rule) for part in (ids[:cut], ids))
                fresh = tokenizer.detokenizer(byte_fallback=rule)
                is_final = prompt == "".join(map(fresh.step, ids[:cut]))
                stream = streamed(tokenizer.detokenizer(prompt_ids=ids[:cut], byte_fallback=rule), ids[cut:])
                n_final, n_others = n_final + is_final, n_others + (not is_final)
                assert not is_final or prompt + stream == whole, (name, ids, cut, rule)
                assert stream == reference.after(decoder, *tokens, rule), (name, tokens, rule)
    assert n_final > 8000
    assert n_others > 500


@pytest.mark.parametrize(
    ("name", "prompt", "ids", "text"),
    [
        ("llama 2", ["▁a"], ["▁b"], " b"),
        ("llama 2", [], ["▁b"], "b"),
        ("llama 2", ["<s>"], ["▁b"], "b"),
        ("llama 2", ["a", "<0xC3>"], ["<0xA9>"], "é"),
        ("byte level", ["Ġa", "Ã"], ["©"], "é"),
        ("metaspace", ["▁a"], ["▁b"], " b"),
        ("word piece", ["a"], ["b"], " b"),
        ("suffix", ["a</w>"], ["b</w>"], " b"),
        ("byte level, clean", ["a", "Ġ"], ["a"], "a"),
        ("byte token text", ["<0x4"], ["a"], "a"),
        ("strip both ends", ["a", " "], ["a"], " a"),
        ("llama 2", ["<0x41>"], ["▁b"], " b"),
    ],
)
@pytest.mark.parametrize("rule", ["eager", "hf"])
def test_what_a_prompt_leaves_behind(name: str, prompt: list[str], ids: list[str], text: str, rule: Any) -> None:
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED[name]))
    numbers = {token: i for i, token in enumerate([*STRINGS, *SPECIAL])}
    stream = tokenizer.detokenizer(prompt_ids=[numbers[token] for token in prompt], byte_fallback=rule)
    assert streamed(stream, [numbers[token] for token in ids]) == text


def test_hf_never_shows_the_prompts_characters_again() -> None:
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED["gemma"]))
    prompt = [STRINGS.index(f"<0x{byte:02X}>") for byte in "é▁".encode()]
    stream = tokenizer.detokenizer(prompt_ids=prompt, byte_fallback="hf")
    assert streamed(stream, [STRINGS.index("a")]) == "a"


def test_a_run_of_bytes_that_begins_a_text_ends_with_the_next_token() -> None:
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED["bytes, metaspace"]))
    run = [STRINGS.index(f"<0x{byte:02X}>") for byte in "▁".encode()]
    ids = [*run, STRINGS.index("a"), *run, STRINGS.index("b")]
    assert streamed(tokenizer.detokenizer(), ids) == tokenizer.decode(ids) == "a b"


def test_hf_holds_a_run_of_bytes_and_eager_does_not() -> None:
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED["llama 2"]))
    ids = [STRINGS.index(token) for token in ["<0xC3>", "<0xA9>", "<0xC3>", "<0xA9>", "a"]]
    eager, hf = tokenizer.detokenizer(), tokenizer.detokenizer(byte_fallback="hf")
    assert [eager.step(i) for i in ids] == ["", "é", "", "é", "a"]
    assert [hf.step(i) for i in ids] == ["", "", "", "", "ééa"]
    bad = [STRINGS.index("<0xFF>")] * 3
    assert [hf.step(i) for i in [*ids[:2], *bad]] == ["", "", "\ufffd" * 3, "\ufffd", "\ufffd"]


@pytest.mark.parametrize("name", WINDOW)
def test_what_cannot_be_compiled_streams_over_a_window(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Decoding all at once is the library's; a stream is what decoding the last tokens again gives at each step."""
    ours = lw.Tokenizer.from_json(tokenizer_json(WINDOW[name]))
    assert ours.decoder == ours.vocab.decoder == "window"
    theirs = tokenizers.Tokenizer.from_str(tokenizer_json(WINDOW[name]))
    plain = [STRINGS.index(token) for token in ["a", "aa", "é", "漢", " a", "x" * 50, "b", ".", "."]]
    some = [plain, plain * 30, [STRINGS.index("\ufffd")] * 40 + plain, [STRINGS.index("")] * 40 + plain]
    rng = random.Random(name)
    n_held = 0
    for ids in [*some, *(random_ids(rng) for _ in range(300))]:
        tokens = tokens_of(ids, True)
        assert ours.decode(ids) == reference.decode(WINDOW[name], tokens), tokens
        stream, window = ours.detokenizer(), reference.Window(WINDOW[name])
        for i in ids:
            pieces = [window.step(token) for token in tokens_of([i], True)]
            assert stream.step(i) == "".join(pieces), (tokens, i)
            n_held += pieces == [""]
        assert stream.finish() == window.finish(), tokens
    assert n_held > 100
    assert capfd.readouterr().err == "", "the library does not panic"
    for ids in some:
        assert library_text(theirs, ids, True) in (ours.decode(ids), None)


def test_where_the_library_fails_a_stream_says_so() -> None:
    """A regular expression that gives up on some text, which one does that is tried in too many ways."""
    pattern = {"type": "Replace", "pattern": {"Regex": "(x+x+)+y"}, "content": ""}
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(sequence(FUSE, pattern)))
    a, bad = STRINGS.index("a"), STRINGS.index("x" * 50)
    with pytest.raises(lw.errors.TokenizerError, match="decode"):
        tokenizer.decode([a, bad])
    with pytest.raises(lw.errors.TokenizerError, match="decode"):
        tokenizer.detokenizer(prompt_ids=[a, bad])
    stream = tokenizer.detokenizer()
    assert stream.step(a) == "a"
    for step in (stream.step, lambda i: lw.Detokenizer.step_many([i], [stream])):
        with pytest.raises(lw.errors.TokenizerError, match="decode"):
            step(bad)
    assert (stream.step(a), stream.finish()) == ("a", ""), "the token is left out"
    batch = lw.Batch(tokenizer.vocab)
    slot = batch.add(lw.SamplingParams(temperature=0))
    row = np.zeros((1, len(tokenizer)), np.float32)
    row[0, bad] = 9
    out = batch.step(row, [slot])
    assert (out.status[0], out.finish[0]) == (lw.RowStatus.FAULT, lw.FinishReason.ERROR)


def test_endless_streams_of_every_kind_end() -> None:
    """Ids that never complete a text: each step shows what there is or holds a bounded rest."""
    for decoder in [*COMPILED.values(), *WINDOW.values()]:
        tokenizer = lw.Tokenizer.from_json(tokenizer_json(decoder))
        for token in ["<0x80>", "<0xF0>", "Ģ", "▁", "", " ", "<s>", "</w>", "<", " ' "]:
            token_id = [*STRINGS, *SPECIAL].index(token)
            for rule in ("eager", "hf"):
                stream = tokenizer.detokenizer(byte_fallback=rule)
                shown = "".join(stream.step(token_id) for _ in range(3000))
                whole = tokenizer.decode([token_id] * 3000, byte_fallback=rule)
                if tokenizer.decoder == "compiled":
                    assert shown + stream.finish() == whole
                    is_run = rule == "hf" and "ByteFallback" in json.dumps(decoder)
                    assert is_run or len(whole) - len(shown) < 40, "no more is held than a literal for each filter"


def test_copy_goes_its_own_way() -> None:
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED["llama 2"]))
    a, c3, a9, b = (STRINGS.index(token) for token in ["▁a", "<0xC3>", "<0xA9>", "▁b"])
    stream = tokenizer.detokenizer()
    assert stream.step(a) + stream.step(c3) == "a"
    other = stream.copy()
    assert (stream.step(a9), other.step(b), stream.finish(), other.finish()) == ("é", "\ufffd b", "", "")


def test_step_many_is_step_of_each() -> None:
    rng = random.Random(4)
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED["llama 2"]))
    many, each = ([tokenizer.detokenizer() for _ in range(16)] for _ in range(2))
    for _ in range(200):
        ids = [rng.randrange(-1, len(tokenizer)) for _ in many]
        assert lw.Detokenizer.step_many(ids, many) == [stream.step(i) for i, stream in zip(ids, each, strict=True)]
    assert lw.Detokenizer.step_many([], []) == []
    stream = tokenizer.detokenizer()
    assert lw.Detokenizer.step_many([STRINGS.index("a"), STRINGS.index("b")], [stream, stream]) == ["a", "b"]
    with pytest.raises(lw.errors.ArrayError, match="1 token ids for 2 streams"):
        lw.Detokenizer.step_many([0], [stream, stream])
    begun = STRINGS.index("<0xC3>")
    with pytest.raises(TypeError):
        lw.Detokenizer.step_many([begun, begun], [stream, "stream"])  # type: ignore[list-item]
    assert stream.finish() == "", "no stream is stepped where one cannot be"


def test_bad_options_are_named() -> None:
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(None))
    with pytest.raises(lw.errors.ParameterError, match="byte_fallback"):
        tokenizer.detokenizer(byte_fallback="fast")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        tokenizer.detokenizer(prompt_ids="text")  # type: ignore[arg-type]
    for stop in (7, "END", [7]):
        with pytest.raises(TypeError, match="a StopMatcher, or a sequence of str"):
            tokenizer.detokenizer(stop=stop)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("decoder", "limit"),
    [
        (sequence(*[FUSE] * 65), "decoder_stages"),
        (text_of("a", "x" * 2000), "decoder_literal_bytes"),
        (text_of("x", "y" * 1024), None),
        (sequence(text_of("x", "xx" * 500), text_of("x", "xx" * 500)), "tokenizer_growth"),
        (sequence(FUSE, *[text_of("x", "x" * 1000)] * 4), "tokenizer_growth"),
        (sequence(*[{"type": "Replace", "pattern": {"Regex": "x?"}, "content": "x" * 1000}] * 4), "tokenizer_growth"),
    ],
)
def test_hostile_decoders_are_refused(decoder: Decoder, limit: str | None) -> None:
    if limit is None:
        lw.Tokenizer.from_json(tokenizer_json(decoder))
        return
    with pytest.raises(lw.errors.LimitError) as caught:
        lw.Tokenizer.from_json(tokenizer_json(decoder))
    assert caught.value.limit == limit


@pytest.mark.parametrize("name", ["byte level", "llama 2", "word piece", "suffix", "none"])
def test_a_stream_with_stops_is_both_stations(name: str) -> None:
    rng = random.Random(name)
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED[name]))
    texts = ["a", "ab", " a", "b a", "aa", "éa", ".", "x" * 20, "\ufffd", "ba"]
    n_matched = 0
    for _ in range(1500):
        ids = random_ids(rng)
        stops = rng.sample(texts, rng.randint(1, 3))
        options = {"include_stop": rng.random() < 0.5, "stop_tie": rng.choice(["longest", "list"])}
        matcher = lw.StopMatcher(stops, **options)
        both, plain = tokenizer.detokenizer(stop=matcher), tokenizer.detokenizer()
        stop = None
        for token_id in ids:
            text, found = matcher.feed(plain.step(token_id))
            assert both.step(token_id) == text
            stop = stop or found
            assert both.stop == stop
        text, found = matcher.feed(plain.finish())
        assert both.finish() == text + matcher.finish()
        assert both.stop == (stop or found)
        n_matched += both.stop is not None
        assert (both.step(STRINGS.index("漢")), both.stop) == (plain.step(STRINGS.index("漢")), None)
    assert n_matched > 150


def test_streams_that_share_a_matcher_learn_only_what_holds_for_each() -> None:
    """What a token led to once is kept with the matcher, for the vocabulary that came first."""
    rng = random.Random(0)
    pair = [lw.Tokenizer.from_json(tokenizer_json(COMPILED[name])) for name in ("byte level", "gemma")]
    texts = ["a", "ab", " a", "b a", "aa", "éa", ".", "x" * 20, "\ufffd", "ba", "aab", "bab"]
    matchers = [
        lw.StopMatcher(rng.sample(texts, 3), include_stop=rng.random() < 0.3, stop_tie=rng.choice(["longest", "list"]))
        for _ in range(12)
    ]
    for _ in range(3000):
        tokenizer, matcher = rng.choice(pair), rng.choice(matchers)
        shared, alone = tokenizer.detokenizer(stop=matcher), tokenizer.detokenizer()
        for token_id in random_ids(rng):
            text, _ = matcher.feed(alone.step(token_id))
            assert shared.step(token_id) == text
            if rng.random() < 0.1:
                shared = shared.copy()
        rest, _ = matcher.feed(alone.finish())
        assert shared.finish() == rest + matcher.finish()


def test_what_a_matcher_keeps_is_kept_by_place_and_by_token() -> None:
    """More places, and more tokens, than it keeps: some of them want the same room."""
    tokens = [b"a", b"b", *(b"%d" % i for i in range(3000))]
    vocab, matcher = lw.Vocab.from_bytes(tokens), lw.StopMatcher(["a" * 1000 + "c"])
    for n in [*range(1000), *range(1000)]:
        stream = vocab.detokenizer(stop=matcher)
        assert "".join(stream.step(0) for _ in range(n)) == ""
        assert stream.step(1) == "a" * n + "b"
    for i in [*range(3000), *range(3000)]:
        stream = vocab.detokenizer(stop=matcher)
        assert (stream.step(0), stream.step(2 + i)) == ("", f"a{i}")


@pytest.mark.parametrize("include_stop", [False, True])
def test_a_special_token_that_is_a_stop_ends_the_text(include_stop: bool) -> None:
    vocab = lw.Vocab.from_bytes([b"a", b"\xc3", b"<e>", b"<f>"], special_ids=[2, 3])
    shown = "<e>" if include_stop else ""
    held = "" if include_stop else "a"
    for stops in (lw.StopMatcher(["ab", "<e>"], include_stop=include_stop), ["ab", "<e>"]):
        if isinstance(stops, list) and include_stop:
            continue
        stream = vocab.detokenizer(stop=stops)
        assert [stream.step(3), stream.step(0), stream.stop] == ["", "a"[len(held) :], None]
        assert [stream.step(2), stream.stop] == [held + shown, "<e>"]
        assert [stream.step(0), stream.step(2), stream.copy().step(0), stream.finish(), stream.stop] == [""] * 4 + [
            "<e>"
        ]
        assert [stream.step(1), stream.stop] == ["", None]
        assert [stream.step(2), stream.stop] == ["\ufffd" + shown, "<e>"]
        stream.reset()
        assert [stream.step(1), stream.step(0), stream.stop] == ["", "\ufffd" + "a"[len(held) :], None]
    stream = vocab.detokenizer(stop=["<e>"], skip_special_tokens=False)
    assert [stream.step(2), stream.stop] == ["", "<e>"]


def test_a_stream_takes_stop_strings_too_and_never_the_state_of_a_matcher() -> None:
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED["gemma"]))
    a, b = STRINGS.index("a"), STRINGS.index("b")
    matcher = lw.StopMatcher(["ab"])
    assert matcher.feed("a") == ("", None)
    stream = tokenizer.detokenizer(stop=matcher)
    assert (stream.step(b), stream.stop) == ("b", None)
    stream = tokenizer.detokenizer(stop=["ab"])
    copy = stream.copy()
    assert (stream.step(a), stream.step(b), stream.step(a), stream.stop) == ("", "", "", "ab")
    assert (copy.step(b), copy.stop, stream.copy().stop) == ("b", None, "ab")
    stream.reset()
    assert (stream.step(b), stream.stop) == ("b", None)
    with pytest.raises(lw.errors.ParameterError, match="stop"):
        tokenizer.detokenizer(stop=[""])


@pytest.mark.parametrize("name", ["byte level", "llama 2", "gemma", "word piece", "suffix", "bytes, metaspace"])
@pytest.mark.parametrize("continuation", [False, True])
@pytest.mark.parametrize("rule", ["eager", "hf"])
def test_the_line_streams_as_the_station_does(name: str, continuation: bool, rule: Any) -> None:
    rng = random.Random(name)
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(COMPILED[name]))
    batch = lw.Batch(tokenizer.vocab)
    for _ in range(40):
        ids = [i for i in random_ids(rng) if 0 <= i < len(STRINGS)] or [0]
        cut = rng.randrange(len(ids))
        slot = batch.add(
            lw.SamplingParams(temperature=0),
            ids[:cut],
            max_tokens=len(ids) - cut,
            byte_fallback=rule,
            continuation=continuation,
        )
        stream = tokenizer.detokenizer(byte_fallback=rule, prompt_ids=ids[:cut] if continuation else None)
        for token_id in ids[cut:]:
            row = np.zeros((1, len(tokenizer)), np.float32)
            row[0, token_id] = 9
            out = batch.step(row, [slot])
            text = stream.step(token_id) + (stream.finish() if out.finish[0] else "")
            assert out.text.decode() == text, (name, ids, cut)
        assert out.finish[0] == lw.FinishReason.LENGTH
        batch.remove(slot)
