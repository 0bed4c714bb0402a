"""One prompt on one model, in one call: all at once, as a stream, or as an asynchronous stream.

Each is an `Engine` of its own, driven for one request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

from logitwire._core import Grammar, SamplingParams, Tokenizer, Vocab
from logitwire.engine import Engine
from logitwire.errors import ParameterError
from logitwire.generation import Generation, Piece, Request, TokenLogprob


class Options(TypedDict, total=False):
    """What `generate`, `stream` and `astream` take besides model, tokenizer and prompt."""

    max_tokens: int | None
    """Default 128, or what the context has left; None: until the model's context is full, or a stop."""
    params: SamplingParams
    """How tokens are drawn; or name its fields one by one:"""
    temperature: float
    dynatemp_range: float
    dynatemp_exponent: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    tfz: float
    top_n_sigma: float
    epsilon_cutoff: float
    eta_cutoff: float
    xtc_probability: float
    xtc_threshold: float
    mirostat: int
    mirostat_tau: float
    mirostat_eta: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    repetition_counts: Literal["all", "output"] | None
    frequency_counts: Literal["all", "output"] | None
    penalty_last_n: int | None
    dry_multiplier: float
    dry_base: float
    dry_allowed_length: int
    dry_last_n: int | None
    dry_breakers: Iterable[int]
    logit_bias: Mapping[int, float]
    bad_words: Iterable[Iterable[int]]
    watermark: Literal["kgw", "philox"] | None
    watermark_gamma: float
    watermark_delta: float
    watermark_key: int
    order: Literal["default", "vllm", "tgi", "hf", "llama.cpp"] | Sequence[str]
    seed: int
    choice: int
    logprobs: int
    logprobs_mode: Literal["raw", "processed"]
    min_tokens: int
    stop: Sequence[str]
    include_stop: bool
    stop_tie: Literal["longest", "list"]
    stop_token_ids: Sequence[int]
    ignore_eos: bool
    skip_special_tokens: bool
    byte_fallback: Literal["eager", "hf"]
    continuation: bool
    """Default True: the text goes on after the prompt's. False: it begins anew, as an answer in a chat does."""
    grammar: Grammar
    """What the text is held to, compiled for this tokenizer."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A generation that has ended."""

    text: str
    token_ids: list[int]
    logprobs: list[TokenLogprob]
    finish_reason: str
    """ "stop" or "length"."""
    stop: str | None
    """The stop string that matched."""
    prompt_tokens: int


DEFAULT_MAX_TOKENS = 128
_PARAMS = tuple(name for name in Options.__annotations__ if hasattr(SamplingParams, name))


def generate(
    model: Any, tokenizer: Tokenizer | Vocab | None, prompt: str | Sequence[int], **options: Unpack[Options]
) -> Completion:
    """Complete a prompt.

    model: a callable `f(token_ids) -> logits`, or a `models.Model`. tokenizer: None takes the model's own. prompt:
    text, or token ids. Raises ParameterError, TokenIdError, VocabError, ModelError, LogitsError, LimitError.
    """
    generation = _submit(Engine(model, tokenizer, max_batch=1), prompt, options)
    pieces = list(generation)
    return Completion(
        "".join(piece.text for piece in pieces),
        [token for piece in pieces for token in piece.token_ids],
        [logprob for piece in pieces for logprob in piece.logprobs],
        pieces[-1].finish_reason or "stop",
        pieces[-1].stop,
        generation.prompt_tokens,
    )


def stream(
    model: Any, tokenizer: Tokenizer | Vocab | None, prompt: str | Sequence[int], **options: Unpack[Options]
) -> Iterator[Piece]:
    """The same, piece by piece as the model goes. What is wrong with the call is raised by the call."""
    generation = _submit(Engine(model, tokenizer, max_batch=1), prompt, options)
    return iter(generation)


def astream(
    model: Any, tokenizer: Tokenizer | Vocab | None, prompt: str | Sequence[int], **options: Unpack[Options]
) -> AsyncIterator[Piece]:
    """The same for asyncio; the model runs in a thread of its own."""
    engine = Engine(model, tokenizer, max_batch=1)
    generation = _submit(engine, prompt, options)

    async def pieces() -> AsyncIterator[Piece]:
        engine.start()
        try:
            async for piece in generation:
                yield piece
        finally:
            engine.close(wait=False)

    return pieces()


def _submit(engine: Engine, prompt: str | Sequence[int], options: Options) -> Generation:
    fields: dict[str, Any] = dict(options)
    unknown = fields.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected options: {', '.join(sorted(unknown))}")
    named = {name: fields.pop(name) for name in _PARAMS if name in fields}
    if named and "params" in fields:
        both = ", ".join(named)
        raise ParameterError(f"params and {both} are both given", field=both, hint="put them into params")
    if named:
        fields["params"] = SamplingParams(**named)
    if isinstance(prompt, str):
        if isinstance(engine.tokenizer, Vocab):
            raise ParameterError(
                "prompt is text, but there is only a Vocab", field="prompt", hint="pass token ids, or a Tokenizer"
            )
        prompt = engine.tokenizer.encode(prompt)
    fields.setdefault("continuation", True)
    if "max_tokens" not in fields:
        fields["max_tokens"] = engine.room(len(prompt), DEFAULT_MAX_TOKENS)
    return engine.submit(Request(prompt_ids=prompt, **fields))
