"""The bodies clients send, as types: their limits are in the types and hold before any work is done.

For every field null is absent, and fields not named here are ignored, which is right for those that ask for nothing
(`user`, `metadata`, `store`, `service_tier`, `prediction`, `verbosity`, ...). A field that asks for a feature this
server does not have yet is named in `NotYet`, so that it is refused and never silently dropped.

Nothing here knows HTTP, nor what becomes of a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from logitwire.errors import LimitError, ParameterError

from .grammars import Constraint

MAX_PROMPTS = 128

_INT32_MAX = 2**31 - 1

Count: TypeAlias = Annotated[int, Meta(ge=1, le=_INT32_MAX)]
TokenId: TypeAlias = Annotated[int, Meta(ge=0, le=_INT32_MAX)]
TopLogprobs: TypeAlias = Annotated[int, Meta(ge=0, le=20)]
StopString: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]
Stop: TypeAlias = StopString | Annotated[list[StopString], Meta(max_length=16)]


class NotYet(Struct, kw_only=True):
    """Fields whose feature is not here yet. Only a value that asks for nothing is taken: see `_NEUTRAL`."""

    best_of: int | None = None
    n: int | None = None
    # Extensions that other servers take.
    allowed_token_ids: Any = None
    bad_words: Any = None
    guided_grammar: Any = None
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None
    prompt_logprobs: Any = None
    skip_special_tokens: bool | None = None
    stop_token_ids: Any = None

    def refuse(self) -> None:
        """Raise ParameterError for the first field that asks for what is not here."""
        for name in self.__struct_fields__:
            if name in _NEUTRAL:
                value = getattr(self, name)
                if value is not None and value not in _NEUTRAL[name]:
                    raise unsupported(name)


_NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(NotYet.__struct_fields__, ()),
    "bad_words": ([],),
    "best_of": (1,),
    "echo": (False,),
    "function_call": ("none",),
    "functions": ([],),
    "ignore_eos": (False,),
    "include_stop_str_in_output": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "skip_special_tokens": (True,),
    "stop_token_ids": ([],),
    "suffix": ("",),
    "tool_choice": ("none",),
    "tools": ([],),
    "audio": (),
    "chat_template": (),
    "chat_template_kwargs": ({},),
    "reasoning_effort": ("none",),
    "web_search_options": (),
}


class StreamOptions(Struct):
    include_usage: bool | None = None


class _Text(Struct, tag="text"):
    """Nothing is asked for."""

    def constraint(self, at: str) -> Constraint | None:
        return None


class _JsonObject(Struct, tag="json_object"):
    schema: Raw = Raw()

    def constraint(self, at: str) -> Constraint | None:
        if _is_given(self.schema):
            return _json_schema(self.schema, f"{at}.schema")
        return Constraint(kind="json", source="object", named=at)


class _NamedSchema(Struct):
    schema: Raw = Raw()
    strict: bool | None = None


class _JsonSchema(Struct, tag="json_schema"):
    json_schema: _NamedSchema

    def constraint(self, at: str) -> Constraint | None:
        named = f"{at}.json_schema.schema"
        if not _is_given(self.json_schema.schema):
            raise ParameterError(f"{named} is missing", field=named)
        # A strict answer has its keys in the schema's order, as OpenAI's have.
        order = {"property_order": "schema"} if self.json_schema.strict else {}
        return _json_schema(self.json_schema.schema, named, **order)


class _TgiJson(Struct, tag="json"):
    value: Raw

    def constraint(self, at: str) -> Constraint | None:
        return _json_schema_or_its_text(self.value, f"{at}.value")


class _TgiRegex(Struct, tag="regex"):
    value: str

    def constraint(self, at: str) -> Constraint | None:
        return Constraint(kind="regex", source=self.value, named=f"{at}.value")


class _StructuredOutputs(Struct, kw_only=True):
    """As vLLM has them."""

    choice: list[str] | None = None
    json: Raw = Raw()
    json_object: bool | None = None
    regex: str | None = None
    grammar: Any = None
    structural_tag: Any = None

    def constraints(self, at: str) -> Iterator[Constraint]:
        for name in ("grammar", "structural_tag"):
            if getattr(self, name) is not None:
                raise unsupported(f"{at}.{name}")
        if self.json_object:
            yield Constraint(kind="json", source="object", named=f"{at}.json_object")
        yield from _guided(f"{at}.", self.json, self.regex, self.choice)


def _guided(at: str, schema: Raw, regex: str | None, choice: list[str] | None) -> Iterator[Constraint]:
    if _is_given(schema):
        yield _json_schema_or_its_text(schema, f"{at}json")
    if regex is not None:
        yield Constraint(kind="regex", source=regex, named=f"{at}regex")
    if choice is not None:
        yield Constraint(kind="choice", source=tuple(choice), named=f"{at}choice")


ResponseFormat: TypeAlias = _Text | _JsonObject | _JsonSchema | _TgiJson | _TgiRegex


def _is_given(raw: Raw) -> bool:
    return bytes(raw) not in (b"", b"null")


def _json_schema(schema: Raw | bytes, named: str, **options: str) -> Constraint:
    return Constraint(kind="json_schema", source=bytes(schema), options=options, named=named)


def _json_schema_or_its_text(schema: Raw, named: str) -> Constraint:
    is_text = bytes(schema).startswith(b'"')
    return _json_schema(msgspec.json.decode(schema, type=str).encode() if is_text else schema, named)


class Generate(NotYet, kw_only=True):
    """What both kinds of request share."""

    response_format: ResponseFormat | None = None
    # As TGI, llama.cpp and vLLM name them.
    grammar: _TgiJson | _TgiRegex | str | None = None
    json_schema: Raw = Raw()
    guided_choice: list[str] | None = None
    guided_json: Raw = Raw()
    guided_regex: str | None = None
    structured_outputs: _StructuredOutputs | None = None

    model: str | None = None
    max_tokens: Count | None = None
    min_tokens: Annotated[int, Meta(ge=0, le=_INT32_MAX)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=_INT32_MAX)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    # As OpenAI has it: token ids as text.
    logit_bias: dict[int, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    # Extensions that other servers take, as they name them.
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    typical_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0)] | None = None

    def check(self) -> None:
        """Raise ParameterError for what the types cannot say."""
        self.refuse()
        if self.stream_options is not None and not self.stream:
            raise ParameterError("stream_options is only allowed with stream", field="stream_options")
        if self.repeat_penalty is not None and self.repetition_penalty is not None:
            raise ParameterError("repetition_penalty and repeat_penalty are both given", field="repeat_penalty")

    def constraint(self) -> Constraint | None:
        """What the answer is held to. Raises ParameterError if that is two things, or one that is not here yet."""
        asked = [constraint for constraint in self._constraints() if constraint is not None]
        if len(asked) > 1:
            first, second = (constraint.named for constraint in asked[:2])
            raise ParameterError(f"{first} and {second} are both given", field=second)
        return asked[0] if asked else None

    def _constraints(self) -> Iterator[Constraint | None]:
        if self.response_format is not None:
            yield self.response_format.constraint("response_format")
        if isinstance(self.grammar, str):
            raise unsupported("grammar", "a grammar in GBNF is")
        if self.grammar is not None:
            yield self.grammar.constraint("grammar")
        if _is_given(self.json_schema):
            yield _json_schema(self.json_schema, "json_schema")
        yield from _guided("guided_", self.guided_json, self.guided_regex, self.guided_choice)
        if self.structured_outputs is not None:
            yield from self.structured_outputs.constraints("structured_outputs")

    def sampling(self) -> dict[str, Any]:
        """The fields of `SamplingParams` that were given, but for the seed."""
        named = {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "typical_p": self.typical_p,
            "repetition_penalty": self.repetition_penalty or self.repeat_penalty,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "logit_bias": self.logit_bias,
        }
        return {name: value for name, value in named.items() if value is not None}

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class Part(Struct):
    """A content part; only those of type "text" are understood."""

    type: str
    text: str | None = None


class Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[str | Part], Meta(max_length=1024)] | None = None
    name: str | None = None
    audio: Any = None
    function_call: Any = None
    refusal: Any = None
    tool_calls: Any = None

    def text(self, at: str) -> str:
        """The content as one text, its parts joined by newlines. `at` names this message in errors."""
        if self.role in ("tool", "function"):
            raise unsupported(f"{at}.role", f"{self.role!r} messages are")
        for name in ("audio", "function_call", "refusal", "tool_calls"):
            if getattr(self, name) not in (None, []):
                raise unsupported(f"{at}.{name}")
        if self.content is None:
            raise ParameterError(f"{at}.content must be a string or a list of parts", field=f"{at}.content")
        if isinstance(self.content, str):
            return self.content
        texts = []
        for index, part in enumerate(self.content):
            where = f"{at}.content[{index}]"
            if isinstance(part, str):
                texts.append(part)
            elif part.type != "text":
                raise unsupported(f"{where}.type", f"{part.type[:40]!r} parts are")
            elif part.text is None:
                raise ParameterError(f"{where}.text is missing", field=f"{where}.text")
            else:
                texts.append(part.text)
        return "\n".join(texts)


class ChatCompletionRequest(Generate, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1, max_length=4096)]
    logprobs: bool | None = None
    max_completion_tokens: Count | None = None
    top_logprobs: TopLogprobs | None = None

    audio: Any = None
    chat_template: Any = None
    chat_template_kwargs: Any = None
    function_call: Any = None
    functions: Any = None
    modalities: Any = None
    reasoning_effort: Any = None
    tool_choice: Any = None
    tools: Any = None
    web_search_options: Any = None

    def check(self) -> None:
        super().check()
        if self.top_logprobs is not None and not self.logprobs:
            raise ParameterError("top_logprobs needs logprobs to be true", field="top_logprobs")

    def conversation(self) -> list[dict[str, str]]:
        """The messages as a chat template takes them; a developer is a system."""
        turns = []
        for index, message in enumerate(self.messages):
            role = "system" if message.role == "developer" else message.role
            turn = {"role": role, "content": message.text(f"messages[{index}]")}
            if message.name is not None:
                turn["name"] = message.name
            turns.append(turn)
        return turns

    @property
    def n_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Generate, kw_only=True):
    prompt: str | list[str | TokenId | list[TokenId]]
    logprobs: TopLogprobs | None = None

    echo: bool | None = None
    suffix: str | None = None

    def prompts(self) -> list[str | list[int]]:
        """The prompts: one text, several, one list of token ids, or several."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        kinds = {type(item) for item in self.prompt}
        if kinds == {int}:
            return [self.prompt]  # type: ignore[list-item]
        if len(kinds) != 1:
            expected = "one or more texts, or one or more lists of token ids"
            raise ParameterError(f"prompt must be {expected}", field="prompt", expected=expected)
        if len(self.prompt) > MAX_PROMPTS:
            raise LimitError(
                f"prompt holds {len(self.prompt)} prompts; at most {MAX_PROMPTS} are allowed",
                field="prompt",
                limit="prompts",
                got=len(self.prompt),
                maximum=MAX_PROMPTS,
            )
        return self.prompt  # type: ignore[return-value]


def unsupported(field: str, what: str | None = None) -> ParameterError:
    return ParameterError(f"{what or field + ' is'} not supported yet", field=field)
