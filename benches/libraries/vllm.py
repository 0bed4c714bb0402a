"""vLLM's two detokenizers and its stop matcher, out of its wheel: two files that need little of the rest.

Installing vLLM takes gigabytes and a GPU's libraries, so what the two files import of vLLM itself is stood in for here
by stubs, and everything that is timed is theirs. `make vllm` fetches the wheel by its pinned hash (0.3 GB), keeps the
two files in the cache folder and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import tokenizers

from logitwire import pull

VERSION = "0.33.0"
LOCK = Path(__file__).parents[2] / "requirements" / "vllm.txt"
FILES = {
    "vllm.tokenizers.detokenizer_utils": "2041499ea181d35e7f1ad4d0b7e4593122771a685a1e660ae12d9ffaefbfc3eb",
    "vllm.v1.engine.detokenizer": "b9e23b5714b80fbccbff3149541f690bc3ff1d41b064f27bfa7fe85b2bc15476",
}


def path(module: str) -> Path:
    return pull.cache_dir() / "benches" / f"{module}-{VERSION}.py"


def fetch() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # fmt: off
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--no-cache-dir",
                "--only-binary", ":all:", "--disable-pip-version-check", "--dest", folder, "--requirement", LOCK,
            ],
            check=True,
        )
        # fmt: on
        (wheel,) = Path(folder).iterdir()
        with zipfile.ZipFile(wheel) as archive:
            for module, sha256 in FILES.items():
                source = archive.read(module.replace(".", "/") + ".py")
                if hashlib.sha256(source).hexdigest() != sha256:
                    raise ValueError(f"{module} did not come out of the wheel as pinned")
                path(module).parent.mkdir(parents=True, exist_ok=True)
                path(module).write_bytes(source)


@cache
def detokenizer() -> Any:
    """The module `vllm.v1.engine.detokenizer`."""
    for module in FILES:
        if not path(module).is_file():
            raise ImportError(f"{path(module)} is not there: `make vllm` fetches it")
    silent = logging.getLogger("vllm")
    silent.setLevel(logging.CRITICAL + 1)
    stub("vllm")
    stub("vllm.logger", init_logger=lambda name: silent)
    stub("vllm.tokenizers", TokenizerLike=object)
    stub("vllm.utils", length_from_prompt_token_ids_or_embeds=lambda ids, embeds: len(ids))
    stub("vllm.v1")
    stub("vllm.v1.engine", EngineCoreRequest=object)
    for module in FILES:
        specification = importlib.util.spec_from_file_location(module, path(module))
        if specification is None or specification.loader is None:
            raise ImportError(module)
        sys.modules[module] = loaded = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(loaded)
    return loaded


def stub(name: str, **contents: Any) -> None:
    sys.modules[name] = module = ModuleType(name)
    module.__path__ = []  # a package, so that there may be modules below it
    module.__dict__.update(contents)


def request(*, stop: list[str] | None = None, include_stop: bool = False) -> Any:
    """What they read of a request."""
    params = SimpleNamespace(
        stop=stop,
        min_tokens=0,
        include_stop_str_in_output=include_stop,
        skip_special_tokens=True,
        spaces_between_special_tokens=True,
    )
    return SimpleNamespace(request_id="", prompt_token_ids=[], prompt_embeds=None, sampling_params=params)


def tokenizer(library: tokenizers.Tokenizer, special_tokens: list[str]) -> Any:
    """transformers' tokenizer, with the answers remembered that vLLM remembers: they walk the whole vocabulary."""
    from transformers import PreTrainedTokenizerFast

    class CachedTokenizer(PreTrainedTokenizerFast):
        def __len__(self) -> int:
            return remembered["len"] if remembered else super().__len__()

        def get_added_vocab(self) -> dict[str, int]:
            return remembered["added"] if remembered else super().get_added_vocab()

        @property
        def all_special_tokens(self) -> list[str]:
            return remembered["tokens"] if remembered else super().all_special_tokens

        @property
        def all_special_ids(self) -> list[int]:
            return remembered["ids"] if remembered else super().all_special_ids

    remembered: dict[str, Any] = {}
    made = CachedTokenizer(tokenizer_object=library, extra_special_tokens=special_tokens)
    remembered = {
        "len": len(made),
        "added": made.get_added_vocab(),
        "tokens": made.all_special_tokens,
        "ids": made.all_special_ids,
    }
    return made


if __name__ == "__main__":
    fetch()
