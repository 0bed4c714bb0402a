"""OpenAI's dialect: its routes, and what a request of it asks of the engine.

What bodies may hold is in `requests`, what answers look like in `answer`, how they reach the client in `reply`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from logitwire import sse
from logitwire._core import Grammar, SamplingParams, Tokenizer
from logitwire.errors import EngineClosedError, ModelNotFoundError, ParameterError, TokenIdError
from logitwire.generation import Request
from logitwire.prompt import chat_ids

from .answer import usage, whole_chat, whole_completion
from .body import read_body
from .grammars import Grammars
from .reply import Events, Whole
from .requests import ChatCompletionRequest, CompletionRequest, Generate

if TYPE_CHECKING:
    from logitwire.engine import Engine
    from logitwire.generation import Generation

DEFAULT_COMPLETION_TOKENS = 16
"""What OpenAI's completions default to. A chat fills the context."""

UNBOUNDED_CHAT_TOKENS = 4096
"""What a chat defaults to with a model that names no context length."""

_OFF_LOOP_CHARACTERS = 8_192
"""From here on encoding takes milliseconds, which other clients' streams should not wait for."""

_SEED_MODULUS = 2**64
_decode_chat = msgspec.json.Decoder(ChatCompletionRequest)
_decode_completion = msgspec.json.Decoder(CompletionRequest)


T = TypeVar("T")


class OpenAI:
    """The endpoints over one engine."""

    def __init__(self, engine: Engine, *, max_body_bytes: int, keep_alive_s: float, write_stall_s: float) -> None:
        self._engine = engine
        self._max_body_bytes = max_body_bytes
        self._keep_alive_s = keep_alive_s
        self._write_stall_s = write_stall_s
        self._created = int(time.time())
        self._grammars = Grammars(engine.vocab)

    def routes(self) -> list[Route]:
        routes = [Route("/health", self.health)]
        for prefix in ("/v1", ""):
            routes += [
                Route(f"{prefix}/chat/completions", self.chat_completions, methods=["POST"]),
                Route(f"{prefix}/completions", self.completions, methods=["POST"]),
                Route(f"{prefix}/models", self.models),
                Route(f"{prefix}/models/{{id:path}}", self.model),
            ]
        return routes

    async def health(self, request: HttpRequest) -> Response:
        if self._engine.closed:
            raise EngineClosedError("the engine is closed")
        return _json({"status": "ok"})

    async def models(self, request: HttpRequest) -> Response:
        return _json({"object": "list", "data": [self._model()]})

    async def model(self, request: HttpRequest) -> Response:
        self._check_model(request.path_params["id"])
        return _json(self._model())

    async def chat_completions(self, request: HttpRequest) -> ASGIApp:
        body = await read_body(request, _decode_chat, max_bytes=self._max_body_bytes)
        body.check()
        self._check_model(body.model)
        prompt_ids = await self._chat_ids(body)
        grammar = await self._grammar(body)
        max_tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
        if max_tokens is None and self._engine.context_length is None:
            max_tokens = UNBOUNDED_CHAT_TOKENS
        logprobs = body.n_logprobs
        identity = self._identity("chatcmpl-")
        framer = sse.Framer("chat", include_usage=body.include_usage, **identity)
        names = {"prompt_ids": "messages"}
        if body.max_completion_tokens is not None:
            names["max_tokens"] = "max_completion_tokens"
        generation = self._submit(
            body,
            prompt_ids,
            names=names,
            max_tokens=max_tokens,
            logprobs=logprobs,
            framer=framer,
            grammar=grammar,
            continuation=False,
        )
        if not body.stream:
            return Whole([generation], lambda pieces: whole_chat(identity, self._engine.vocab, generation, pieces[0]))
        return self._events([generation], framer)

    async def completions(self, request: HttpRequest) -> ASGIApp:
        body = await read_body(request, _decode_completion, max_bytes=self._max_body_bytes)
        body.check()
        self._check_model(body.model)
        prompts = await self._prompt_ids(body)
        grammar = await self._grammar(body)
        logprobs = body.logprobs
        identity = self._identity("cmpl-")
        framers = [
            sse.Framer("completion", index=index, include_usage=body.include_usage, **identity)
            for index in range(len(prompts))
        ]
        generations: list[Generation] = []
        try:
            for prompt_ids, framer in zip(prompts, framers, strict=True):
                generation = self._submit(
                    body,
                    prompt_ids,
                    names={"prompt_ids": "prompt"},
                    max_tokens=(
                        self._engine.room(len(prompt_ids), DEFAULT_COMPLETION_TOKENS)
                        if body.max_tokens is None
                        else body.max_tokens
                    ),
                    logprobs=logprobs,
                    framer=framer,
                    grammar=grammar,
                    continuation=True,
                )
                generations.append(generation)
        except Exception:
            # All or none: a prompt refused takes those before it along.
            for generation in generations:
                generation.cancel()
            raise

        if not body.stream:
            return Whole(
                generations, lambda pieces: whole_completion(identity, self._engine.vocab, generations, pieces)
            )
        return self._events(generations, framers[0])

    def _events(self, generations: Sequence[Generation], framer: sse.Framer) -> Events:
        def last() -> bytes:
            counts = usage(generations)
            return framer.usage(counts["prompt_tokens"], counts["completion_tokens"]) + sse.DONE

        return Events(
            generations,
            first=framer.start(),
            last=last,
            keep_alive_s=self._keep_alive_s,
            write_stall_s=self._write_stall_s,
        )

    def _submit(
        self,
        body: Generate,
        prompt_ids: Sequence[int],
        *,
        names: dict[str, str],
        max_tokens: int | None,
        logprobs: int | None,
        framer: sse.Framer,
        grammar: Grammar | None,
        continuation: bool,
    ) -> Generation:
        """names: what the client calls the engine's fields, for errors."""
        params = SamplingParams(
            **body.sampling(),
            # OpenAI's seeds are signed.
            seed=None if body.seed is None else body.seed % _SEED_MODULUS,
            logprobs=logprobs,
        )
        request = Request(
            prompt_ids=prompt_ids,
            params=params,
            max_tokens=max_tokens,
            min_tokens=body.min_tokens or 0,
            stop=body.stops,
            continuation=continuation,
            grammar=grammar,
            framer=framer if body.stream else None,
        )
        self._engine.start()
        try:
            return self._engine.submit(request)
        except ParameterError as error:
            if error.field in names:
                error.args = (str(error).replace(error.field, names[error.field], 1),)
                error.field = names[error.field]
            raise
        except TokenIdError as error:
            is_biased = error.token_id in (body.logit_bias or {})
            raise ParameterError(str(error), field="logit_bias" if is_biased else names["prompt_ids"]) from error

    async def _grammar(self, body: Generate) -> Grammar | None:
        constraint = body.constraint()
        return None if constraint is None else await self._grammars.get(constraint)

    async def _chat_ids(self, body: ChatCompletionRequest) -> list[int]:
        engine = self._engine
        conversation = body.conversation()
        if engine.chat_template is None:
            raise ParameterError(
                f"the model {engine.name!r} has no chat template",
                field="messages",
                hint="send the text to /v1/completions",
            )
        n_characters = sum(len(text) for turn in conversation for text in turn.values())
        return await _off_loop_if_long(n_characters, chat_ids, self._tokenizer(), engine.chat_template, conversation)

    async def _prompt_ids(self, body: CompletionRequest) -> list[list[int]]:
        prompts = body.prompts()
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        if not texts:
            return prompts  # type: ignore[return-value]
        tokenizer = self._tokenizer()
        # Texts and ids do not come together, see CompletionRequest.prompts.
        return await _off_loop_if_long(sum(map(len, texts)), lambda: [tokenizer.encode(text) for text in texts])

    def _tokenizer(self) -> Tokenizer:
        if not isinstance(self._engine.tokenizer, Tokenizer):
            raise ParameterError(
                f"the model {self._engine.name!r} has a vocabulary but no tokenizer",
                hint="send token ids to /v1/completions",
            )
        return self._engine.tokenizer

    def _check_model(self, model: str | None) -> None:
        if model not in (None, self._engine.name):
            raise ModelNotFoundError(
                f"the model {model!r} does not exist", hint=f"this server has {self._engine.name!r}", field="model"
            )

    def _model(self) -> dict[str, Any]:
        return {"id": self._engine.name, "object": "model", "created": self._created, "owned_by": "logitwire"}

    def _identity(self, prefix: str) -> dict[str, Any]:
        return {"id": prefix + secrets.token_hex(12), "created": int(time.time()), "model": self._engine.name}


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


async def _off_loop_if_long(n_characters: int, call: Callable[..., T], *arguments: Any) -> T:
    if n_characters < _OFF_LOOP_CHARACTERS:
        return call(*arguments)
    return await asyncio.to_thread(call, *arguments)
