"""The reference libraries as tokenizers of one shape: tiktoken, sentencepiece, Hugging Face's tokenizers, llama.cpp.

Each reads the file of the vocabulary itself, or is given what a reader here took out of it, and shares nothing with
ours. Where a library has no say, its method returns None.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from reference.byte_level import alphabet


class Peer(Protocol):
    """`encode` adds no special tokens; ids of `decode` are in the vocabulary."""

    def encode(self, text: str, *, allow_special: bool) -> list[int] | None: ...
    def encode_whole(self, text: str) -> list[int] | None:
        """With the special tokens that the tokenizer adds."""

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str | None: ...


class Tiktoken:
    """composes: a text is brought into NFC first, as the Unicode of `tokenizers` has it (Python's may be older)."""

    def __init__(
        self,
        ranks: Mapping[bytes, int],
        pattern: str,
        special_tokens: Mapping[str, int],
        composes: bool = False,
    ) -> None:
        import tiktoken
        from tokenizers.normalizers import NFC

        self.normalizer = NFC() if composes else None
        self.special_ids = frozenset(special_tokens.values())
        self.encoding = tiktoken.Encoding(
            "peer", pat_str=pattern, mergeable_ranks=dict(ranks), special_tokens=dict(special_tokens)
        )

    def encode(self, text: str, *, allow_special: bool) -> list[int]:
        if self.normalizer:
            text = self.normalizer.normalize_str(text)
        return self.encoding.encode(text, allowed_special="all" if allow_special else set(), disallowed_special=())

    def encode_whole(self, text: str) -> None:
        return None

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        return self.encoding.decode([i for i in ids if not (skip_special_tokens and i in self.special_ids)])


class SentencePiece:
    """It never reads the text of a control token as that token."""

    def __init__(self, path: str | PathLike[str]) -> None:
        import sentencepiece

        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def encode(self, text: str, *, allow_special: bool) -> list[int] | None:
        ids: list[int] = self.processor.encode(text)
        return None if allow_special else ids

    def encode_whole(self, text: str) -> None:
        return None

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str | None:
        """A control token has no text there, so there is no other way than to skip it; one inside a character's bytes
        would break the character."""
        text: str = self.processor.decode([i for i in ids if not self.processor.is_control(i)])
        return text if skip_special_tokens else None


class Library:
    """A `tokenizers.Tokenizer`."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def encoding(self, text: str, *, allow_special: bool, add_special_tokens: bool = False) -> Any:
        self.tokenizer.encode_special_tokens = not allow_special
        return self.tokenizer.encode(text, add_special_tokens=add_special_tokens)

    def encode(self, text: str, *, allow_special: bool) -> list[int]:
        ids: list[int] = self.encoding(text, allow_special=allow_special).ids
        return ids

    def encode_whole(self, text: str) -> list[int]:
        ids: list[int] = self.encoding(text, allow_special=False, add_special_tokens=True).ids
        return ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text


def ranks(lines: bytes) -> dict[bytes, int]:
    """The file format of tiktoken: a token in base64 and its rank, one a line."""
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines.splitlines() if line)}


def byte_level_library(tokens: Mapping[bytes, int], special_tokens: Mapping[str, int]) -> Any:
    """Only its decoding means anything: there are no merges."""
    import tokenizers

    vocab = {"".join(alphabet()[b] for b in token): i for token, i in tokens.items()}
    library = tokenizers.Tokenizer(tokenizers.models.BPE({**vocab, **special_tokens}, []))
    library.decoder = tokenizers.decoders.ByteLevel()
    library.add_special_tokens(
        [
            tokenizers.AddedToken(s, normalized=False, special=True)
            for s in sorted(special_tokens, key=special_tokens.get)
        ]
    )
    return library


# The kinds of a token in SentencePiece's models, and in GGUF's `tokenizer.ggml.token_type`.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
# llama.cpp takes these for control tokens even where the file says less.
ENDS = {"</s>", "<|tool_response>"}
NEVER = -1e9  # a score that never wins


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: number and value (an int, or bytes)."""

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    at = 0
    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            length = {1: 8, 5: 4}.get(key & 7) or varint()
            yield key >> 3, message[at : at + length]
            at += length


def sentencepiece_library(path: str | PathLike[str]) -> Any:
    """A SentencePiece model as `tokenizers` would have it: BPE by its scores, or Unigram."""
    import tokenizers
    from tokenizers import decoders, models, normalizers

    model = list(fields(Path(path).read_bytes()))
    pieces = []
    for piece in (dict(fields(value)) for number, value in model if number == 1):
        score = struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0
        pieces.append((piece[1].decode(), score, piece.get(3, NORMAL)))
    trainer, normalizer = (dict(fields(next(v for n, v in model if n == number))) for number in (2, 3))
    vocab = {piece: i for i, (piece, _, _) in enumerate(pieces)}
    unknown = next(piece for piece, _, kind in pieces if kind == UNKNOWN)
    byte_fallback = bool(trainer.get(35, 0))
    if trainer.get(3, 1) == 2:
        merges = []
        for piece, score, kind in pieces:
            if kind in (NORMAL, USER_DEFINED):
                for cut in range(1, len(piece)):
                    left, right = piece[:cut], piece[cut:]
                    if left in vocab and right in vocab:
                        merges.append((-score, vocab[left], vocab[right], left, right))
        merges.sort(key=lambda merge: merge[:3])
        bpe = models.BPE(
            vocab, [merge[3:] for merge in merges], unk_token=unknown, fuse_unk=True, byte_fallback=byte_fallback
        )
        library = tokenizers.Tokenizer(bpe)
    else:
        # The library would find the text of any piece; only that of a normal one is ever meant.
        scores = [(piece, score if kind in (NORMAL, USER_DEFINED) else NEVER) for piece, score, kind in pieces]
        library = tokenizers.Tokenizer(models.Unigram(scores, unk_id=vocab[unknown], byte_fallback=byte_fallback))
    steps: list[Any] = []
    if normalizer.get(2):
        steps.append(normalizers.Precompiled(normalizer[2]))
    if normalizer.get(4, 1):
        steps += [normalizers.Strip(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
    if normalizer.get(3, 1):
        steps.append(normalizers.Prepend("▁"))
    library.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    spaces = [decoders.Strip(" ", 1, 0)] if normalizer.get(3, 1) else []
    library.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *spaces])
    library.add_special_tokens(
        [
            tokenizers.AddedToken(p, normalized=False, special=True)
            for p, _, kind in pieces
            if kind in (UNKNOWN, CONTROL)
        ]
    )
    return tokenizers.Tokenizer.from_str(library.to_str())  # scores as JSON has them, to the last bit


def gguf_library(metadata: Mapping[str, Any]) -> Any:
    """Only its decoding means anything: there are no merges."""
    import tokenizers
    from tokenizers import decoders

    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    library = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, []))
    if metadata["tokenizer.ggml.model"] == "gpt2":
        library.decoder = decoders.ByteLevel()
    else:
        has_prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
        steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        library.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if has_prefix else steps)
    eos = metadata["tokenizer.ggml.eos_token_id"]
    for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if kind in (UNKNOWN, CONTROL) or i == eos or (kind == USER_DEFINED and token in ENDS):
            library.add_special_tokens([tokenizers.AddedToken(token, normalized=False, special=True)])
        elif kind == USER_DEFINED:
            library.add_tokens([tokenizers.AddedToken(token, normalized=False)])
    return library
