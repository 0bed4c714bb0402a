"""What every library is given: a vocabulary as a `tokenizer.json`, complete with merges, and text to run through it.

One for each kind of decoder in use. The files are those of `tests/vocabularies.py`; `small` is made here, so that there
is something to compare with neither a network nor a cache. It knows of no library but `tokenizers`, which writes the
JSON and whose answers are the measure of the others'.
"""

from __future__ import annotations

import ast
import itertools
import random
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import corpus
import tokenizers
import vocabularies
from peers.tokenizer import ranks, sentencepiece_library
from reference.byte_level import alphabet, tokenizer_json
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

import logitwire as lw

FOLDER = Path(tempfile.mkdtemp(prefix="logitwire-benches-"))


@dataclass(frozen=True)
class Tiktoken:
    """A vocabulary as tiktoken takes it."""

    ranks: Mapping[bytes, int]
    pattern: str
    special_tokens: Mapping[str, int]


@dataclass(frozen=True)
class Vocabulary:
    name: str
    build: Callable[[], tokenizers.Tokenizer]
    tiktoken: Callable[[], Tiktoken] | None = None
    """None: it has no such file."""

    @cached_property
    def library(self) -> tokenizers.Tokenizer:
        library = self.build()
        library.encode_special_tokens = True
        return library

    @cached_property
    def path(self) -> str:
        path = str(FOLDER / f"{self.name}.json")
        self.library.save(path, pretty=False)
        return path

    @cached_property
    def ours(self) -> lw.Tokenizer:
        return lw.Tokenizer.from_file(self.path)

    @cached_property
    def special_tokens(self) -> list[str]:
        return [token.content for token in self.library.get_added_tokens_decoder().values() if token.special]

    def encode(self, text: str) -> list[int]:
        return self.library.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        return self.library.decode(ids, skip_special_tokens=True)

    def byte_id(self, byte: int) -> int | None:
        """The token that is one byte and nothing else."""
        return self.library.token_to_id(
            alphabet()[byte] if isinstance(self.library.decoder, decoders.ByteLevel) else f"<0x{byte:02X}>"
        )


def merges(tokens: Mapping[bytes, int]) -> list[tuple[str, str]]:
    """Every way to make a token of two, in the order in which tiktoken would: by its rank."""
    found = []
    for token, rank in tokens.items():
        for cut in range(1, len(token)):
            left, right = tokens.get(token[:cut]), tokens.get(token[cut:])
            if left is not None and right is not None:
                found.append((rank, left, right, spelled(token[:cut]), spelled(token[cut:])))
    return [merge[3:] for merge in sorted(found)]


def spelled(token: bytes) -> str:
    return "".join(alphabet()[byte] for byte in token)


def byte_level(name: str, tiktoken: Callable[[], Tiktoken], normalizer: Any = None) -> Vocabulary:
    def build() -> tokenizers.Tokenizer:
        made = tiktoken()
        vocab = {spelled(token): rank for token, rank in made.ranks.items()}
        library = tokenizers.Tokenizer(models.BPE(vocab, merges(made.ranks), ignore_merges=True))
        if normalizer:
            library.normalizer = normalizer
        split = pre_tokenizers.Split(Regex(made.pattern), "isolated")
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        library.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
        library.decoder = decoders.ByteLevel()
        add_special(library, made.special_tokens)
        return library

    return Vocabulary(name, build, tiktoken)


def add_special(library: tokenizers.Tokenizer, special_tokens: Mapping[str, int]) -> None:
    """They get the ids that follow; where the file leaves a hole, what fills it is never in a text."""
    for token, token_id in sorted(special_tokens.items(), key=lambda pair: pair[1]):
        n = library.get_vocab_size()
        library.add_special_tokens([AddedToken(f"<|hole {i}|>", normalized=False) for i in range(n, token_id)])
        library.add_special_tokens([AddedToken(token, normalized=False)])


def ranked(file: str, pattern: str, special_tokens: Mapping[str, int], n: int | None = None) -> Callable[[], Tiktoken]:
    @cache
    def read() -> Tiktoken:
        every = ranks(vocabularies.path(file).read_bytes())
        return Tiktoken({t: r for t, r in every.items() if n is None or r < n}, pattern, special_tokens)

    return read


def smollm2() -> tokenizers.Tokenizer:
    """Its pre-tokenizer is GPT-2's with each digit apart; eight bytes have no token."""
    metadata = vocabularies.gguf("smollm2").metadata
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    pairs = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    library = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, pairs))
    digits = pre_tokenizers.Digits(individual_digits=True)
    library.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    library.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3]
    library.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    return library


VOCABULARIES = {
    vocabulary.name: vocabulary
    for vocabulary in [
        Vocabulary("small", lambda: tokenizers.Tokenizer.from_str(tokenizer_json())),
        byte_level("gpt-2", ranked("p50k.tiktoken", vocabularies.GPT_2, vocabularies.GPT_2_SPECIAL, 50_256)),
        byte_level("llama-3", ranked("llama-3.tiktoken", vocabularies.CL100K, vocabularies.LLAMA_3_SPECIAL)),
        byte_level("qwen", ranked("qwen.tiktoken", vocabularies.QWEN_2, vocabularies.QWEN_SPECIAL), normalizers.NFC()),
        byte_level("o200k", ranked("o200k.tiktoken", vocabularies.O200K, vocabularies.O200K_SPECIAL)),
        Vocabulary("smollm2", smollm2),
        Vocabulary("mistral-v1", lambda: sentencepiece_library(vocabularies.path("mistral-v1.model"))),
        Vocabulary("xlm-r", lambda: vocabularies.VOCABULARIES["xlm-r"].library().tokenizer),
        Vocabulary("bert", lambda: vocabularies.VOCABULARIES["bert-bge"].library().tokenizer),
    ]
}


@cache
def text(name: str) -> str:
    return TEXTS[name]()


def standard_library() -> list[Path]:
    return sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))


def english() -> str:
    """What the modules of Python's standard library say of themselves."""
    found = []
    for path in standard_library():
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (said := ast.get_docstring(node)):
                found.append(said)
    return "\n\n".join(found)[:1_000_000]


def code() -> str:
    return "".join(path.read_text("utf-8") for path in standard_library())[:1_000_000]


def mixture() -> str:
    """Every language there is text of, in any normal form, and emoji; nothing that spells a special token."""
    rng = random.Random(0)
    return "".join(rng.choice([corpus.emoji_run, corpus.in_language, corpus.in_language])(rng) for _ in range(3000))


TEXTS: dict[str, Callable[[], str]] = {
    "English": english,
    "code": code,
    "Chinese": lambda: corpus.languages()["zh_Hans"],
    "emoji": lambda: " ".join(itertools.islice(itertools.cycle(corpus.emoji()), 20_000)),
    "mixture": mixture,
}
