"""The decoders of a `tokenizer.json`, one after the other on lists of strings, as the format defines them.

All at once, and nothing is compiled or streamed. `byte_fallback="eager"` is the one rule of our own: a character that
bytes complete is text, and each byte that is part of none is one U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from reference.detokenize import UNFINISHED

CLEANUP = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
]

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTE_OF = {chr(byte): byte for byte in _PRINTABLE}
BYTE_OF |= {chr(0x100 + n): byte for n, byte in enumerate(b for b in range(256) if b not in _PRINTABLE)}


def decode(decoder: Mapping[str, Any] | None, tokens: Sequence[str], byte_fallback: str = "hf") -> str:
    """The text of token strings."""
    if decoder is None:
        return " ".join(tokens)
    return "".join(chain(decoder, list(tokens), byte_fallback))


def chain(decoder: Mapping[str, Any], tokens: list[str], byte_fallback: str) -> list[str]:
    """What one decoder makes of token strings."""
    match decoder["type"]:
        case "Sequence":
            for inner in decoder["decoders"]:
                tokens = chain(inner, tokens, byte_fallback)
            return tokens
        case "ByteLevel":
            return [b"".join(map(level_bytes, tokens)).decode("utf-8", "replace")]
        case "Fuse":
            return ["".join(tokens)]
        case "Replace":
            return [replace(token, decoder["pattern"], decoder["content"]) for token in tokens]
        case "Strip":
            return [strip(token, decoder["content"], decoder["start"], decoder["stop"]) for token in tokens]
        case "Metaspace":
            first = "" if decoder.get("prepend_scheme", "always") != "never" else " "
            spaces = [first] + [" "] * len(tokens)
            return [token.replace(decoder["replacement"], space) for token, space in zip(tokens, spaces, strict=False)]
        case "WordPiece":
            prefix = decoder["prefix"]
            rest = [token[len(prefix) :] if token.startswith(prefix) else " " + token for token in tokens[1:]]
            return [cleaned(token) if decoder["cleanup"] else token for token in tokens[:1] + rest]
        case "BPEDecoder":
            inner = [token.replace(decoder["suffix"], " ") for token in tokens[:-1]]
            return inner + [token.replace(decoder["suffix"], "") for token in tokens[-1:]]
        case "CTC":
            kept = [token for i, token in enumerate(tokens) if i == 0 or token != tokens[i - 1]]
            kept = [token.replace(decoder["pad_token"], "") for token in kept]
            if decoder["cleanup"]:
                kept = [cleaned(token).replace(decoder["word_delimiter_token"], " ") for token in kept]
            return [token for token in kept if token]
        case "ByteFallback":
            return fallback(tokens, byte_fallback)
    raise ValueError(decoder["type"])


def after(
    decoder: Mapping[str, Any] | None, prompt: Sequence[str], tokens: Sequence[str], byte_fallback: str = "hf"
) -> str:
    """What tokens add to the text of a prompt, all of which counts as shown: an unfinished character alone does not.

    Not what `decode` of both has beyond `decode` of the prompt, where a later token changes what that ended in.
    """
    prompt, tokens = list(prompt), list(tokens)
    stages = flat(decoder)
    n_head = next((i + 1 for i, stage in enumerate(stages) if stage["type"] in ("ByteLevel", "Fuse")), len(stages))
    head = {"type": "Sequence", "decoders": stages[:n_head]} if decoder is not None else None

    def join(tokens: Sequence[str]) -> str:
        return decode(head, tokens, byte_fallback)

    kinds = {stage["type"] for stage in stages[:n_head]}
    shown = prompt
    if "ByteLevel" in kinds:
        data = b"".join(map(level_bytes, prompt))
        held = data[len(data) - n_unfinished(data) :]
        before = data[: len(data) - len(held)].decode("utf-8", "replace")
        rest = (held + b"".join(map(level_bytes, tokens))).decode("utf-8", "replace")
    elif "BPEDecoder" in kinds:
        before = common(join(prompt), join([*prompt, ""]))
        rest = join(prompt + tokens)[len(before) :]
    elif "ByteFallback" in kinds:
        mapped = chain({"type": "Sequence", "decoders": stages[: n_before_bytes(stages)]}, prompt, byte_fallback)
        n_others = max((i + 1 for i, token in enumerate(mapped) if byte_token(token) is None), default=0)
        run = bytes(byte for token in mapped[n_others:] if (byte := byte_token(token)) is not None)
        shown = prompt[: len(prompt) - n_unfinished(run)]
        is_spoiled = "\ufffd" in run[: len(run) - n_unfinished(run)].decode("utf-8", "replace")
        if byte_fallback == "hf" and is_spoiled:
            shown = prompt
        before = join(shown)
        if byte_fallback == "hf" and not is_spoiled:
            # What is shown of the run cannot be spoiled any more.
            rest_tokens = prompt[len(shown) :] + tokens
            goes_on = bool(rest_tokens) and bool(prompt) and n_others == 0 and is_byte(stages, rest_tokens[0])
            lead = [] if goes_on or not prompt else ["x"]
            rest = join(lead + rest_tokens)[len(join(lead)) :]
        else:
            rest = join(prompt + tokens)[len(before) :]
    else:
        before = join(prompt)
        rest = join(prompt + tokens)[len(before) :]
    for stage in stages[n_head:]:
        if stage["type"] == "Strip":
            whole = "".join(chain(stage, [before + rest], byte_fallback))
            before = "".join(chain(stage, [before], byte_fallback))
            rest = whole[len(before) :]
        else:
            is_closed = stage["type"] == "ByteFallback" and before != ""
            rest = rest if is_closed else "".join(chain(stage, [rest], byte_fallback))
            before = "".join(chain(stage, [before], byte_fallback))
    return rest


def flat(decoder: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The decoders of a sequence, of whatever depth."""
    if decoder is None:
        return []
    if decoder["type"] == "Sequence":
        return [inner for part in decoder["decoders"] for inner in flat(part)]
    return [decoder]


def n_before_bytes(stages: Sequence[Mapping[str, Any]]) -> int:
    return next(i for i, stage in enumerate(stages) if stage["type"] == "ByteFallback")


def is_byte(stages: Sequence[Mapping[str, Any]], token: str) -> bool:
    """Whether a token is one byte, as ByteFallback sees it."""
    mapped = chain({"type": "Sequence", "decoders": stages[: n_before_bytes(stages)]}, [token], "hf")
    return byte_token(mapped[0]) is not None


def n_unfinished(data: bytes) -> int:
    """How many bytes at the end may become a character."""
    return next((n for n in (3, 2, 1) if len(data) >= n and data[-n:] in UNFINISHED), 0)


def common(a: str, b: str) -> str:
    """What both begin with."""
    return a[: next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))]


class Window:
    """A stream for what cannot be compiled: the last tokens are decoded again at each step.

    Text goes out when it grew and does not end in what three more tokens may make a character of, and from eight tokens
    on whatever it is.
    """

    def __init__(self, decoder: Mapping[str, Any]) -> None:
        self.decoder = decoder
        self.shown: list[str] = []
        self.waiting: list[str] = []

    def rest(self) -> tuple[str, str]:
        """The text of what is shown, and that of all."""
        return decode(self.decoder, self.shown), decode(self.decoder, self.shown + self.waiting)

    def step(self, token: str) -> str:
        self.waiting.append(token)
        shown, whole = self.rest()
        may_become_whole = len(self.waiting) < 4 and whole.endswith("\ufffd")
        grew = whole.startswith(shown) and whole != shown
        if (not grew or may_become_whole) and len(self.waiting) < 8:
            return ""
        self.shown, self.waiting = self.waiting, []
        return whole[len(common(shown, whole)) :]

    def finish(self) -> str:
        shown, whole = self.rest()
        return whole[len(common(shown, whole)) :]


def level_bytes(token: str) -> bytes:
    """The bytes a byte-level token is written for, its own UTF-8 if it has one foreign character."""
    try:
        return bytes(BYTE_OF[character] for character in token)
    except KeyError:
        return token.encode()


def replace(token: str, pattern: Mapping[str, str], content: str) -> str:
    if "String" in pattern:
        return token.replace(pattern["String"], content)
    return re.sub(pattern["Regex"], lambda _: content, token)


def strip(token: str, content: str, start: int, stop: int) -> str:
    while start and token.startswith(content):
        token, start = token[len(content) :], start - 1
    while stop and token.endswith(content):
        token, stop = token[: -len(content)], stop - 1
    return token


def cleaned(text: str) -> str:
    for literal, replacement in CLEANUP:
        text = text.replace(literal, replacement)
    return text


def byte_token(token: str) -> int | None:
    """The byte of `<0xNN>`; a sign is a digit, for so the library reads it."""
    match = re.fullmatch(r"<0x([0-9a-fA-F]{2}|\+[0-9a-fA-F])>", token)
    return int(match[1], 16) if match else None


def fallback(tokens: Sequence[str], rule: str) -> list[str]:
    """Byte tokens in a row put together, the others as they are."""
    out: list[str] = []
    run = b""
    for token in [*tokens, None]:
        byte = None if token is None else byte_token(token)
        if byte is not None:
            run += bytes([byte])
            continue
        if run:
            out += [run_text(run)] if rule == "eager" else whole_run(run)
        run = b""
        if token is not None:
            out.append(token)
    return out


def whole_run(run: bytes) -> list[str]:
    try:
        return [run.decode()]
    except UnicodeDecodeError:
        return ["\ufffd"] * len(run)


def run_text(run: bytes) -> str:
    """Complete characters, and one U+FFFD for each byte that is part of none."""
    text = ""
    while run:
        for n in (1, 2, 3, 4):
            try:
                text, run = text + run[:n].decode(), run[n:]
                break
            except UnicodeDecodeError:
                pass
        else:
            text, run = text + "\ufffd", run[1:]
    return text
