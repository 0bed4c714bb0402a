"""A conversation to the token ids of a prompt, as the model's chat template writes it.

What somebody typed is text and never becomes a special token: a message that contains `<|im_end|>` does not end its
turn. Only the template's own words may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from logitwire._core import ChatTemplate, Tokenizer
from logitwire.errors import ParameterError

_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Code points Unicode reserves for use inside a program (noncharacters, Unicode 15, 23.7)."""


def chat_ids(tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Token ids of the prompt for a conversation, up to where the assistant's answer begins.

    messages: dicts with "role", which is the caller's own word and not looked at, and "content", a string. Raises
    TemplateError where the template refuses, ParameterError if the messages use up all noncharacters of Unicode.
    """
    vocab = tokenizer.vocab
    special = [vocab.token_bytes(token_id).decode("utf-8", "replace") for token_id in vocab.special_ids]
    typed = "".join(value for turn in messages for value in turn.values() if isinstance(value, str))
    forged = sorted((text for text in special if text in typed), key=len, reverse=True)
    if not forged:
        return tokenizer.encode(template.render(messages), add_special_tokens=False, allow_special=True)

    # Put what looks like a special token between two marks, and read it as plain text after the template is through.
    # The template may drop marks together with text around them: a lone one is nothing.
    unused = [mark for mark in _MARKS if mark not in typed]
    if len(unused) < 2:
        raise ParameterError("the messages use up all noncharacters of Unicode", field="messages")
    opened, closed = unused[:2]

    def mark(text: str) -> str:
        for token in forged:
            text = text.replace(token, f"{opened}{token}{closed}")
        return text

    marked = [
        {key: mark(value) if isinstance(value, str) and key != "role" else value for key, value in turn.items()}
        for turn in messages
    ]
    first, *others = template.render(marked).split(opened)
    ids: list[int] = []
    for part in [closed + first, *others]:
        # Each stretch by itself: joined again, two of them might spell a special token.
        plain, *rest = part.split(closed)
        ids += tokenizer.encode(plain, add_special_tokens=False, allow_special=not rest)
        for text in rest:
            ids += tokenizer.encode(text, add_special_tokens=False, allow_special=True)
    return ids
