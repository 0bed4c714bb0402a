"""Real vocabularies against the libraries that define them: ids, offsets, text, and the law of streams.

Every difference from such a library is in `vectors/vocabulary_differences.json`, text by text: one more or one less
fails. HYPOTHESIS_PROFILE=slow tries ten times as many texts and streams.
"""

from __future__ import annotations

import json
import os
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import corpus
import pytest
from conftest import VECTORS
from peers.tokenizer import Library, Peer, Tiktoken
from vocabularies import FILES, VOCABULARIES, fetch, path

import logitwire as lw
from logitwire.errors import OfflineError

pytest.importorskip("tokenizers")

pytestmark = pytest.mark.timeout(900)  # the first test fetches

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "slow"
N_TEXTS = 3000
N_STREAMS = 1000 if IS_LONG else 60  # of each kind
DIFFERENCES: dict[str, dict[str, Any]] = json.loads((VECTORS / "vocabulary_differences.json").read_text("utf-8"))


class Loaded:
    """One vocabulary, ours and what it is held against, each loaded when first asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.vocabulary = VOCABULARIES[name]

    @cached_property
    def ours(self) -> lw.Tokenizer:
        return self.vocabulary.load()

    @cached_property
    def library(self) -> Library:
        return self.vocabulary.library()

    @cached_property
    def peers(self) -> dict[str, Peer]:
        peers = {}
        for name, load in self.vocabulary.peers.items():
            try:
                peers[name] = load()
            except ImportError as error:
                pytest.skip(f"needs {error.name}")
        return peers

    @cached_property
    def special_tokens(self) -> list[str]:
        return [token for i in self.ours.vocab.special_ids if (token := self.token(i))]

    def token(self, token_id: int) -> str | None:
        token: str | None = self.library.tokenizer.id_to_token(token_id)
        return token

    @cached_property
    def texts(self) -> list[str]:
        """The corpus, and texts that hold this vocabulary's own special tokens."""
        rng = random.Random(self.name)
        texts = corpus.texts(N_TEXTS * 10 if IS_LONG else N_TEXTS)
        specials = self.special_tokens[:40]
        with_specials = []
        for text in rng.sample(texts, 200 if specials else 0):
            at = rng.randint(0, len(text))
            with_specials.append(text[:at] + "".join(rng.choices(specials, k=rng.randint(1, 3))) + text[at:])
        return [*texts, *specials, *with_specials]

    @cached_property
    def typed(self) -> list[str]:
        """The same for a reader that takes all of it as text. The Unigram model of `tokenizers` finds the pieces of
        special tokens in a text whatever it is told, and ours does not: see test_what_is_typed_is_text."""
        if type(self.library.tokenizer.model).__name__ != "Unigram":
            return self.texts
        return [text for text in self.texts if not any(token in text for token in self.special_tokens)]

    @cached_property
    def streams(self) -> list[tuple[str, list[int]]]:
        return list(streams(self))


@pytest.fixture(scope="module", params=VOCABULARIES)
def loaded(request: pytest.FixtureRequest) -> Loaded:
    loaded = Loaded(request.param)
    try:
        fetch()
        loaded.ours  # noqa: B018
    except OfflineError as error:
        pytest.skip(str(error))
    return loaded


KINDS = ("text", "special tokens allowed", "vectors", "tokens", "tokens skipped")


def test_every_difference_is_of_something_compared() -> None:
    for key, difference in DIFFERENCES.items():
        name, peer, kind = key.split(", ")
        assert name in VOCABULARIES, key
        assert peer in VOCABULARIES[name].peers, key
        assert kind in KINDS, key
        assert difference["why"], key
        assert difference["texts"], key


def assert_only_known(loaded: Loaded, peer: str, kind: str, found: Sequence[str], tried: Sequence[str]) -> None:
    """found: of the texts tried, those on which we and the peer differ."""
    assert kind in KINDS
    known = set(DIFFERENCES.get(f"{loaded.name}, {peer}, {kind}", {"texts": []})["texts"])
    if IS_LONG and known:  # of more texts more differ: listed are those among the first
        listed = {*corpus.texts(N_TEXTS), *known} if "text" in kind or "special" in kind else set(tried)
        found = [text for text in found if text in listed]
        known &= set(tried)
    new, gone = sorted(set(found) - known, key=len), sorted(known - set(found), key=len)
    assert not new + gone, f"{len(found)} differ, {len(known)} are known; new: {new[:5]}; gone: {gone[:5]}"


@pytest.mark.parametrize("allow_special", [False, True])
def test_ids_are_those_of_the_reference(loaded: Loaded, allow_special: bool) -> None:
    texts = loaded.texts if allow_special else loaded.typed
    ours = [loaded.ours.encode(text, add_special_tokens=False, allow_special=allow_special) for text in texts]
    for name, peer in loaded.peers.items():
        theirs = [peer.encode(text, allow_special=allow_special) for text in texts]
        if theirs[0] is None:
            continue
        differing = [text for text, a, b in zip(texts, ours, theirs, strict=True) if a != b]
        assert_only_known(loaded, name, "special tokens allowed" if allow_special else "text", differing, texts)


def test_what_is_typed_is_text(loaded: Loaded) -> None:
    """No special token comes of a text that spells one, but the one for what the vocabulary lacks."""
    special = {i for i in loaded.ours.vocab.special_ids if "unk" not in (loaded.token(i) or "").lower()}
    for token in loaded.special_tokens[:200]:
        for text in (token, f"a{token}b", f" {token} {token}", f"漢{token}"):
            ids = loaded.ours.encode(text, add_special_tokens=False)
            assert not special & set(ids), text


def test_added_special_tokens_are_those_of_the_reference(loaded: Loaded) -> None:
    """Around the ids of the text alone, where we agree on these."""
    for name, peer in loaded.peers.items():
        for text in random.Random(0).sample(loaded.typed, 500):
            theirs = peer.encode_whole(text)
            if theirs is not None and loaded.ours.encode(text) != theirs:
                bare = loaded.ours.encode(text, add_special_tokens=False)
                assert bare != peer.encode(text, allow_special=False), (name, text)


@pytest.mark.parametrize("allow_special", [False, True])
def test_batch_is_text_by_text(loaded: Loaded, allow_special: bool) -> None:
    texts = loaded.texts[-1000:]
    one_by_one = [loaded.ours.encode(text, allow_special=allow_special) for text in texts]
    for threads in (None, 1, 3):
        assert loaded.ours.encode_batch(texts, allow_special=allow_special, threads=threads) == one_by_one


def test_offsets_are_those_of_the_library(loaded: Loaded) -> None:
    """In bytes where the library counts characters. tiktoken's tokens follow each other, and all that share a character
    have all of it."""
    tiktoken, library = loaded.peers.get("tiktoken"), loaded.peers.get("tokenizers")
    for text in random.Random(0).sample(loaded.typed, 3000 if IS_LONG else 300):
        ids, offsets = loaded.ours.encode_with_offsets(text, add_special_tokens=False)
        assert ids == loaded.ours.encode(text, add_special_tokens=False), text
        starts = [*accumulate((len(char.encode()) for char in text), initial=0)]
        if isinstance(tiktoken, Tiktoken):
            if tiktoken.normalizer and tiktoken.normalizer.normalize_str(text) != text:
                continue  # its tokens are of another text
            cuts = [*accumulate((len(tiktoken.encoding.decode_single_token_bytes(i)) for i in ids), initial=0)]
            before = [starts[bisect_right(starts, cut) - 1] for cut in cuts]
            after = [starts[bisect_left(starts, cut)] for cut in cuts]
            assert offsets == [*zip(before, after[1:], strict=False)], text
        elif isinstance(library, Library) and len(loaded.peers) == 1:  # the very same tokenizer
            encoding = library.encoding(text, allow_special=False)
            assert offsets == [(starts[start], starts[end]) for start, end in encoding.offsets], text


def test_vectors_of_llama_cpp(loaded: Loaded) -> None:
    """The cases that llama.cpp keeps beside a vocabulary, which Hugging Face's own tokenizer of the model answered."""
    if f"{loaded.name}.inp" not in FILES:
        pytest.skip("there are none")
    texts = path(f"{loaded.name}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    answers = [[int(i) for i in line.split()] for line in path(f"{loaded.name}.out").read_text().splitlines()]
    assert len(texts) >= len(answers) >= 40
    differing = [
        text
        for text, ids in zip(texts, answers, strict=False)
        if loaded.ours.encode(text, add_special_tokens=False) != ids
    ]
    assert_only_known(loaded, "llama.cpp", "vectors", differing, texts)


def streams(loaded: Loaded) -> Iterator[tuple[str, list[int]]]:
    """Ids of real text cut anywhere, random ids, special tokens injected, spoiled bytes, edges of words."""
    rng, ours = random.Random(loaded.name), loaded.ours
    size, special = len(ours), ours.vocab.special_ids
    tokens = {i: token for i in range(size) if (token := token_bytes(ours, i)) is not None}
    short = [i for i, token in tokens.items() if len(token) == 1] or list(tokens)
    high = [i for i in short if tokens[i] >= b"\x80"] or short
    edges = [
        i for i, token in tokens.items() if len(token) < 9 and (token[:1] in b" \t\n" or not token.strip(b" .,!?'-"))
    ] or short
    for language, text in corpus.languages().items():
        for _ in range(20 if IS_LONG else 2):
            ids = ours.encode(corpus.cut(rng, text, 300), add_special_tokens=False)
            yield f"text in {language}", ids[rng.randint(0, 3) : len(ids) - rng.randint(0, 3)]
    texts = [ours.encode(text, add_special_tokens=False) for text in rng.sample(corpus.texts(N_TEXTS), N_STREAMS)]
    for ids in texts:
        yield "awkward text", ids
        mixed = [
            i for given in ids for i in ([given, rng.choice(special)] if special and rng.random() < 0.3 else [given])
        ]
        yield "special tokens", mixed
        spoiled = [i for given in ids for i in ([rng.choice(high), given] if rng.random() < 0.3 else [given])]
        yield "spoiled bytes", spoiled
    for _ in range(N_STREAMS):
        yield "random ids", [rng.randrange(size) for _ in range(rng.randint(1, 80))]
        yield "bytes", [rng.choice(high if rng.random() < 0.8 else short) for _ in range(rng.randint(1, 60))]
        yield "edges", [rng.choice(edges if rng.random() < 0.8 else short) for _ in range(rng.randint(1, 60))]
        beyond = [-1, -(2**31), size, size + 7, 2**31 - 1, 2**31, 2**32, 2**63 - 1]
        yield "ids beyond", [rng.choice(beyond) if rng.random() < 0.3 else rng.randrange(size) for _ in range(30)]


def token_bytes(ours: lw.Tokenizer, token_id: int) -> bytes | None:
    try:
        return ours.vocab.token_bytes(token_id)
    except lw.errors.TokenIdError:
        return None


@pytest.mark.parametrize("skip_special_tokens", [False, True])
def test_text_is_that_of_the_reference(loaded: Loaded, skip_special_tokens: bool) -> None:
    """Of every token alone; and of streams of those on which we agree."""
    everything = [i for i in range(len(loaded.ours)) if loaded.token(i) is not None]
    for name, peer in loaded.peers.items():
        if peer.decode([], skip_special_tokens=skip_special_tokens) is None:
            continue

        def differs(ids: list[int], peer: Peer = peer) -> bool:
            rule: Any = "hf" if isinstance(peer, Library) else "eager"
            ours = loaded.ours.decode(ids, skip_special_tokens=skip_special_tokens, byte_fallback=rule)
            return ours != peer.decode(ids, skip_special_tokens=skip_special_tokens)

        differing = {i for i in everything if differs([i])}
        tokens = [loaded.token(i) or "" for i in sorted(differing)]
        tried = [loaded.token(i) or "" for i in everything]
        assert_only_known(loaded, name, "tokens skipped" if skip_special_tokens else "tokens", tokens, tried)
        agreed = set(everything) - differing
        for kind, ids in loaded.streams:
            ids = [i for i in ids if i in agreed]
            assert not differs(ids), (name, kind, ids)


@pytest.mark.parametrize("byte_fallback", ["eager", "hf"])
@pytest.mark.parametrize("skip_special_tokens", [False, True])
def test_stream_is_the_decoded_text(loaded: Loaded, skip_special_tokens: bool, byte_fallback: Any) -> None:
    options = {"skip_special_tokens": skip_special_tokens, "byte_fallback": byte_fallback}
    stream = loaded.ours.detokenizer(**options)
    for kind, ids in loaded.streams:
        whole = loaded.ours.decode(ids, **options)
        assert "".join([*map(stream.step, ids), stream.finish()]) == whole, (kind, ids)
        if byte_fallback == "hf" and kind != "ids beyond":
            assert whole == loaded.library.decode(ids, skip_special_tokens=skip_special_tokens), (kind, ids)


def test_streams_stepped_together_are_those_stepped_alone(loaded: Loaded) -> None:
    given = [ids for _, ids in loaded.streams]
    running = [(loaded.ours.detokenizer(), iter(ids)) for ids in given]
    texts = {id(stream): "" for stream, _ in running}
    together, n_ticks = [*running], 0
    while together:
        ids = [next(ids, None) for _, ids in together]
        together = [pair for pair, token_id in zip(together, ids, strict=True) if token_id is not None]
        now = [stream for stream, _ in together]
        pieces = lw.Detokenizer.step_many([token_id for token_id in ids if token_id is not None], now)
        for stream, piece in zip(now, pieces, strict=True):
            texts[id(stream)] += piece
        n_ticks += 1
    assert n_ticks == max(map(len, given)) + 1
    assert [texts[id(s)] + s.finish() for s, _ in running] == [loaded.ours.decode(ids) for ids in given]


@pytest.mark.parametrize("byte_fallback", ["eager", "hf"])
@pytest.mark.parametrize("skip_special_tokens", [False, True])
def test_stream_goes_on_after_a_prompt(loaded: Loaded, skip_special_tokens: bool, byte_fallback: Any) -> None:
    """What a stream showed of a prompt and what another shows after it are the text of both, wherever the cut is."""
    rng = random.Random(loaded.name)
    is_byte_level = loaded.ours.token_to_id("<0x80>") is None
    options = {"skip_special_tokens": skip_special_tokens, "byte_fallback": byte_fallback}
    for kind, ids in loaded.streams:
        whole, cut = loaded.ours.decode(ids, **options), rng.randint(0, len(ids))
        first = loaded.ours.detokenizer(**options)
        shown = "".join(map(first.step, ids[:cut]))
        held = first.finish()
        then = loaded.ours.detokenizer(prompt_ids=ids[:cut], **options)
        going_on = "".join([*map(then.step, ids[cut:]), then.finish()])
        assert whole.startswith(shown), (kind, ids, cut)
        rest = whole[len(shown) :]
        if is_byte_level or byte_fallback == "eager" or not held:
            assert going_on == rest, (kind, ids, cut)
        else:  # bytes in a row: whole characters in the prompt's part of them count as shown
            assert rest.endswith(going_on), (kind, ids, cut)
            assert len(rest) - len(going_on) <= 4 * len(held), (kind, ids, cut)
