"""Messages, or a text, to token ids. Knows nothing of HTTP.

What a client writes is text and can never become a special token: a message that contains `<|im_end|>` does not end
its turn. Only the template's own words may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from logitwire.errors import ParameterError

from .requests import Message

if TYPE_CHECKING:
    from logitwire.engine import Engine

T = TypeVar("T")

_OFF_LOOP_CHARACTERS = 8_192
"""From here on encoding takes milliseconds, which other clients' streams should not wait for."""

_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Code points Unicode reserves for use inside a program (noncharacters, Unicode 15, 23.7)."""


async def completion_ids(engine: Engine, prompts: Sequence[str | list[int]]) -> list[list[int]]:
    """The ids of each prompt; those given as ids stay as they are."""

    def encode() -> list[list[int]]:
        return [engine.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]

    return await _off_loop_if_long(sum(len(prompt) for prompt in prompts if isinstance(prompt, str)), encode)


async def chat_ids(engine: Engine, messages: Sequence[Message]) -> list[int]:
    """The ids of a conversation, as the model's chat template writes it.

    Raises ParameterError without a template or on a message it cannot take, TemplateError where the template refuses.
    """
    if engine.chat_template is None:
        raise ParameterError(
            f"the model {engine.name!r} has no chat template", field="messages", hint="send the text to /v1/completions"
        )
    conversation = []
    for index, message in enumerate(messages):
        role = "system" if message.role == "developer" else message.role
        turn = {"role": role, "content": message.text(f"messages[{index}]")}
        if message.name is not None:
            turn["name"] = message.name
        conversation.append(turn)
    n_characters = sum(len(turn["content"]) for turn in conversation)
    return await _off_loop_if_long(n_characters, _render_and_encode, engine, conversation)


def _render_and_encode(engine: Engine, conversation: list[dict[str, str]]) -> list[int]:
    assert engine.chat_template is not None
    vocab, encode = engine.vocab, engine.tokenizer.encode
    special = [vocab.token_bytes(id).decode("utf-8", "replace") for id in vocab.special_ids]
    typed = "".join(value for turn in conversation for value in turn.values())
    forged = [text for text in special if text in typed]
    if not forged:
        text = engine.chat_template.render(conversation)
        return encode(text, add_special_tokens=False, allow_special=True)

    # Put what looks like a special token between two marks, and read it as plain text after the template is through.
    # The template may drop marks together with text around them: a lone one is nothing.
    unused = [mark for mark in _MARKS if mark not in typed]
    if len(unused) < 2:
        raise ParameterError("the messages use up all noncharacters of Unicode", field="messages")
    opened, closed = unused[:2]
    marked = [
        {key: value if key == "role" else _mark(value, forged, opened, closed) for key, value in turn.items()}
        for turn in conversation
    ]
    first, *others = engine.chat_template.render(marked).split(opened)
    ids: list[int] = []
    for part in [closed + first, *others]:
        # Each stretch by itself: joined again, two of them might spell a special token.
        plain, *rest = part.split(closed)
        ids += encode(plain, add_special_tokens=False, allow_special=not rest)
        for text in rest:
            ids += encode(text, add_special_tokens=False, allow_special=True)
    return ids


def _mark(text: str, forged: list[str], opened: str, closed: str) -> str:
    for special in sorted(forged, key=len, reverse=True):
        text = text.replace(special, f"{opened}{special}{closed}")
    return text


async def _off_loop_if_long(n_characters: int, call: Callable[..., T], *arguments: Any) -> T:
    if n_characters < _OFF_LOOP_CHARACTERS:
        return call(*arguments)
    return await asyncio.to_thread(call, *arguments)
