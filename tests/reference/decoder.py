"""The decoders of a `tokenizer.json`, one after the other on lists of strings, as the format defines them.

All at once, and nothing is compiled or streamed. `byte_fallback="eager"` is the one rule of our own: a character that
bytes complete is text, and each byte that is part of none is one U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

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
