"""Everything between the logits and the wire of a language-model server.

A token travels one line: logits -> mask -> sample -> accept -> detokenize -> stop? -> frame -> wire. Import one station
and put it into your own server, or run the whole line with `Batch.step`, `generate`, `stream` or `Engine`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from logitwire import sse
from logitwire._core import (
    Batch,
    ChatTemplate,
    Detokenizer,
    Gguf,
    Grammar,
    GrammarNote,
    Matcher,
    SampleOutput,
    Sampler,
    SamplingParams,
    StepOutput,
    StopMatcher,
    Tokenizer,
    Vocab,
    __version__,
    apply_mask,
    fill_masks,
    limits,
)
from logitwire.engine import Engine
from logitwire.errors import (
    ArrayError,
    EngineClosedError,
    EngineError,
    GrammarError,
    LimitError,
    LogitsError,
    LogitwireError,
    ModelError,
    ModelFileError,
    ModelNotFoundError,
    OfflineError,
    ParameterError,
    PayloadError,
    PullError,
    QueueFullError,
    SchemaError,
    SlotError,
    TemplateError,
    TokenIdError,
    TokenizerError,
    VocabError,
)
from logitwire.generate import Completion, astream, generate, stream
from logitwire.generation import Generation, Piece, Request, TokenLogprob
from logitwire.status import FinishReason, RowStatus

if TYPE_CHECKING:
    from logitwire import models, server
    from logitwire.models.protocol import Candidates

__all__ = [
    "ArrayError",
    "Batch",
    "Candidates",
    "ChatTemplate",
    "Completion",
    "Detokenizer",
    "Engine",
    "EngineClosedError",
    "EngineError",
    "FinishReason",
    "Generation",
    "Gguf",
    "Grammar",
    "GrammarError",
    "GrammarNote",
    "LimitError",
    "LogitsError",
    "LogitwireError",
    "Matcher",
    "ModelError",
    "ModelFileError",
    "ModelNotFoundError",
    "OfflineError",
    "ParameterError",
    "PayloadError",
    "Piece",
    "PullError",
    "QueueFullError",
    "Request",
    "RowStatus",
    "SampleOutput",
    "Sampler",
    "SamplingParams",
    "SchemaError",
    "SlotError",
    "StepOutput",
    "StopMatcher",
    "TemplateError",
    "TokenIdError",
    "TokenLogprob",
    "Tokenizer",
    "TokenizerError",
    "Vocab",
    "VocabError",
    "__version__",
    "apply_mask",
    "astream",
    "fill_masks",
    "generate",
    "limits",
    "models",
    "server",
    "sse",
    "stream",
]


def __getattr__(name: str) -> Any:
    """Models and the server are imported when first asked for: most users need only a station."""
    if name in ("models", "server"):
        return importlib.import_module(f"logitwire.{name}")
    if name == "Candidates":
        return importlib.import_module("logitwire.models.protocol").Candidates
    raise AttributeError(f"module 'logitwire' has no attribute {name!r}")
