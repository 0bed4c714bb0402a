"""Ids to text, a token at a time: `LIBRARIES[name](vocabulary)` gives what begins a stream.

Special tokens are skipped. `step` is one call of the library from Python, as a server makes it, and `finish` gives what
is held at the end, nothing where a library has no way to ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from vocabulary import Vocabulary

from libraries import vllm


class Stream(NamedTuple):
    step: Callable[[int], str]
    finish: Callable[[], str] = lambda: ""


Begin: TypeAlias = Callable[[], Stream]


def logitwire(vocabulary: Vocabulary, **options: Any) -> Begin:
    tokenizer = vocabulary.ours

    def begin() -> Stream:
        stream = tokenizer.detokenizer(**options)
        return Stream(stream.step, stream.finish)

    return begin


def logitwire_hf(vocabulary: Vocabulary) -> Begin:
    """Bytes in a row as `tokenizers` has them, which only differs where they are ill-formed."""
    return logitwire(vocabulary, byte_fallback="hf")


def decode_stream(vocabulary: Vocabulary) -> Begin:
    from tokenizers.decoders import DecodeStream

    library = vocabulary.library

    def begin() -> Stream:
        step = DecodeStream(skip_special_tokens=True).step
        return Stream(lambda token_id: step(library, token_id) or "")

    return begin


def two_offsets(vocabulary: Vocabulary) -> Begin:
    """Two decodes of a window a token, kept while the text ends in U+FFFD: the rule many servers restate."""
    decode = vocabulary.decode

    def begin() -> Stream:
        ids: list[int] = []
        prefix = read = 0

        def step(token_id: int) -> str:
            nonlocal prefix, read
            ids.append(token_id)
            old, new = decode(ids[prefix:read]), decode(ids[prefix:])
            if len(new) <= len(old) or new.endswith("\ufffd"):
                return ""
            prefix, read = read, len(ids)
            return new[len(old) :]

        return Stream(step)

    return begin


def text_streamer(vocabulary: Vocabulary) -> Begin:
    from transformers import PreTrainedTokenizerFast
    from transformers.generation.streamers import TextStreamer

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=vocabulary.library, extra_special_tokens=vocabulary.special_tokens
    )

    class Collector(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            out.append(text)

    class One:
        """As much of a tensor of one id as it looks at."""

        __slots__ = ("token_id",)
        shape = (1,)

        def __init__(self, token_id: int) -> None:
            self.token_id = token_id

        def tolist(self) -> list[int]:
            return [self.token_id]

    out: list[str] = []

    def taken() -> str:
        text = "".join(out)
        out.clear()
        return text

    def begin() -> Stream:
        streamer = Collector(tokenizer, skip_special_tokens=True)

        def step(token_id: int) -> str:
            streamer.put(One(token_id))
            return taken()

        def finish() -> str:
            streamer.end()
            return taken()

        return Stream(step, finish)

    return begin


def vllm_class(name: str) -> Callable[[Vocabulary], Begin]:
    def load(vocabulary: Vocabulary) -> Begin:
        detokenizer = getattr(vllm.detokenizer(), name)
        tokenizer = vllm.tokenizer(vocabulary.library, vocabulary.special_tokens)

        def begin() -> Stream:
            stream = detokenizer(tokenizer, vllm.request())
            update, text = stream.update, stream.get_next_output_text

            def step(token_id: int) -> str:
                update([token_id], False)
                return text(False, True)

            return Stream(step, lambda: text(True, True))

        return begin

    return load


def splintr(vocabulary: Vocabulary) -> Begin:
    import splintr

    tokenizer = splintr.from_json(vocabulary.path)

    def begin() -> Stream:
        stream = tokenizer.streaming_decoder()
        add, flush = stream.add_token, stream.flush
        return Stream(lambda token_id: add(token_id) or "", lambda: flush() or "")

    return begin


LIBRARIES: dict[str, Callable[[Vocabulary], Begin]] = {
    "logitwire": logitwire,
    "logitwire, hf": logitwire_hf,
    "tokenizers": decode_stream,
    "two offsets": two_offsets,
    "transformers": text_streamer,
    "vllm, fast": vllm_class("FastIncrementalDetokenizer"),
    "vllm, slow": vllm_class("SlowIncrementalDetokenizer"),
    "splintr-rs": splintr,
}
