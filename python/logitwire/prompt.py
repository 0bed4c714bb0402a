"""A conversation to the token ids of a prompt, as the model's chat template writes it.

What somebody typed is text and never becomes a special token: a message that contains `<|im_end|>` does not end its
turn. Only the template's own words may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from logitwire._core import ChatTemplate, Tokenizer
from logitwire.errors import ParameterError

_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Code points Unicode reserves for use inside a program (noncharacters, Unicode 15, 23.7)."""


def chat_ids(tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Token ids of the prompt for a conversation, up to where the assistant's answer begins.

    messages: dicts of strings, "role" among them, which is the caller's own word and not looked at, and "content".
    Raises TemplateError where the template refuses, ParameterError on what is no string, or if the messages use up all
    noncharacters of Unicode.
    """
    for index, turn in enumerate(messages):
        for key, value in turn.items():
            if not isinstance(value, str):
                raise ParameterError(
                    f"messages[{index}][{key!r}] is a {type(value).__name__}, expected a string", field="messages"
                )
    special = {text: token_id for token_id in tokenizer.vocab.special_ids if (text := tokenizer.id_to_token(token_id))}
    typed = "".join(value for turn in messages for value in turn.values())
    forged = [text for text in special if text in typed]
    if not forged:
        return tokenizer.encode(template.render(messages), add_special_tokens=False, allow_special=True)

    # A mark between any two characters of what looks like a special token keeps it from being one, whatever of it the
    # template leaves; one of a single character is itself written as a mark. So what is a special token after the
    # template is the template's own, and the rest is text.
    single = [text for text in forged if len(text) == 1]
    unused = [mark for mark in _MARKS if mark not in typed]
    if len(unused) <= len(single):
        raise ParameterError("the messages use up all noncharacters of Unicode", field="messages")
    mark, *others = unused
    written = str.maketrans(dict(zip(single, others, strict=False)))
    read = str.maketrans(dict(zip(others, single, strict=False)) | {mark: ""})
    marked = [
        {
            key: value if key == "role" else _broken(value, forged, mark).translate(written)
            for key, value in turn.items()
        }
        for turn in messages
    ]
    ids: list[int] = []
    for part in _any_of(special).split(template.render(marked)):
        if part in special:
            ids.append(special[part])
        else:
            ids += tokenizer.encode(part.translate(read), add_special_tokens=False)
    return ids


def _broken(text: str, tokens: Sequence[str], mark: str) -> str:
    """The text with a mark between any two characters that stand together in one of the tokens."""
    inside: set[int] = set()
    for token in tokens:
        at = text.find(token)
        while at >= 0:
            inside.update(range(at + 1, at + len(token)))
            at = text.find(token, at + 1)
    cuts = [0, *sorted(inside), len(text)]
    return mark.join(text[begin:end] for begin, end in pairwise(cuts))


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Any of the texts, the longest first, as one group."""
    return re.compile("(" + "|".join(map(re.escape, sorted(texts, key=len, reverse=True))) + ")")
