"""Models: loading one by name or file, and making one of what you already run. The protocol itself is `protocol.py`.

The adapters of other frameworks are imported when they are asked for.
"""

from __future__ import annotations

import difflib
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from logitwire import pull
from logitwire.errors import ModelError, ModelFileError, ModelNotFoundError
from logitwire.models.function import FunctionModel
from logitwire.models.llama import LlamaGguf
from logitwire.models.protocol import Cache, Candidates, Model

__all__ = ["Cache", "Candidates", "Model", "as_model", "from_transformers", "load"]


def load(name_or_path: str | PathLike[str]) -> LlamaGguf:
    """A model by its name (`logitwire.pull.MODELS`) or by the path of a GGUF file, with `.tokenizer`, `.chat_template`
    (None where the file has none) and `.name`.

    A name is looked up in the cache, where `logitwire pull` or `pull.fetch` put it: loading touches no network. A name
    wins over a file called the same; `./name` is the file. Raises ModelNotFoundError, ModelFileError.
    """
    if name_or_path in pull.MODELS:
        name = fspath(name_or_path)
        cached = pull.cached(name)
        if cached is None:
            raise ModelNotFoundError(
                f"{name} is not in the cache ({pull.model_path(name)})", hint=f"run `logitwire pull {name}` once"
            )
        return LlamaGguf(cached, name=name)
    path = Path(name_or_path)
    if path.is_dir():
        inside = sorted(entry.name for entry in path.glob("*.gguf"))
        raise ModelFileError(
            f"{path} is a folder, expected a GGUF file",
            hint=f"name the file: {path / inside[0]}" if inside else "there is no .gguf file in it",
        )
    if not path.exists():
        raise ModelNotFoundError(f"there is no model {fspath(name_or_path)!r}, nor a file", hint=_known(path.name))
    return LlamaGguf(path)


def as_model(model: Any) -> Model:
    """A `Model` as it is, any other callable `f(token_ids) -> logits` wrapped as one. Raises ModelError on the rest."""
    if isinstance(model, type):
        raise ModelError(f"{model.__name__} is a class, expected a model", hint=f"pass an instance: {model.__name__}()")
    if isinstance(model, Model):
        return model
    if hasattr(model, "prepare_inputs_for_generation"):
        raise ModelError(
            f"{type(model).__name__} is a model of transformers", hint="logitwire.models.from_transformers(model)"
        )
    if callable(model):
        return FunctionModel(model)
    raise ModelError(
        f"{type(model).__name__} is no model",
        hint="pass a callable f(token_ids) -> logits, or an object with vocab_size, new_cache() and forward()",
    )


def from_transformers(causal_lm: Any) -> Model:
    """A causal language model of `transformers`, as AutoModelForCausalLM loads it, as a `Model` on torch.

    Its logits are torch tensors on the CPU. Raises ModelError on encoders, encoder-decoders, models whose state cannot
    be truncated (Mamba and its like) and models in training mode.
    """
    from logitwire.models.transformers import TransformersModel

    return TransformersModel(causal_lm)


def _known(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), pull.MODELS, n=1)
    names = "models by name: " + ", ".join(pull.MODELS)
    return f"did you mean {near[0]!r}? {names}" if near else f"{names}; or the path of a GGUF file"
