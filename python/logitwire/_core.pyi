"""The Rust core as Python sees it. These docstrings are the reference; `make lint` holds them to the build."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, NoReturn, Protocol, Self, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

class _SupportsDlpack(Protocol):
    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...

__all__ = [
    "SSE_DONE",
    "Batch",
    "ChatTemplate",
    "Detokenizer",
    "Event",
    "EventBytes",
    "Framer",
    "Gguf",
    "GgufTensor",
    "Grammar",
    "GrammarNote",
    "Matcher",
    "SampleOutput",
    "Sampler",
    "SamplingParams",
    "SseParser",
    "StepOutput",
    "StopMatcher",
    "Template",
    "Tokenizer",
    "Vocab",
    "__version__",
    "apply_mask",
    "cpu_features",
    "fill_masks",
    "is_debug_build",
    "limits",
    "sse_comment",
    "sse_error",
    "sse_frame",
    "sse_tgi_error",
    "sse_tgi_token",
]

_Buffer: TypeAlias = Any
"""Anything with the buffer protocol: bytes, bytearray, memoryview, mmap, a numpy array."""

_Logits: TypeAlias = _SupportsDlpack | NDArray[Any]
_Order: TypeAlias = Literal["default", "vllm", "tgi", "hf", "llama.cpp"] | Sequence[str]
"""(batch, vocab_size) or (vocab_size,) in float32, float16 or bfloat16, on the CPU.

Taken by `__dlpack__` (numpy, torch, mlx, jax, ...) or by the buffer protocol. Rows may be strided, the elements of a
row must be adjacent. Read-only arrays are accepted wherever nothing is written.
"""

__version__: str

@final
class Vocab:
    """Token ids and the bytes each stands for. Immutable, safe to share between threads.

    A copy of it is it. It is not pickled (TypeError): make it again in the other process.
    """

    @classmethod
    def from_bytes(
        cls,
        tokens: Sequence[bytes | None],
        *,
        special_ids: Iterable[int] | None = None,
        eos_ids: Iterable[int] | None = None,
    ) -> Vocab:
        """A vocabulary from anywhere: `tokens[id]` is the bytes of token `id`, None where the id stands for nothing.

        `special_ids` are dropped from text when `skip_special_tokens` is on; `eos_ids` end a generation.
        Raises VocabError on an empty vocabulary, LimitError on one beyond the limits, TokenIdError on an id outside it.

        >>> vocab = Vocab.from_bytes([b"a", b"b", None, b"<end>"], special_ids=[3], eos_ids=[3])
        >>> len(vocab), vocab.token_bytes(1), vocab.eos_ids
        (4, b'b', [3])
        """

    def __len__(self) -> int:
        """One more than the largest id."""

    def token_bytes(self, token_id: int, /) -> bytes:
        """The bytes that a token adds to a text that has begun: " world" for SentencePiece's "▁world".

        Raises TokenIdError if the vocabulary lacks the id.
        """

    def is_special(self, token_id: int, /) -> bool: ...
    @property
    def special_ids(self) -> list[int]: ...
    @property
    def eos_ids(self) -> list[int]: ...
    @property
    def decoder(self) -> Literal["compiled", "window"]:
        """How ids become text: "compiled", by table and transducer, exact however it streams; or "window".

        "window" is for the few decoders of a `tokenizer.json` that look at text without bound (a regex over the whole
        text, above all): text is the library's, made again for a window of at most sixteen tokens at each step.
        """

    def detokenizer(
        self,
        *,
        skip_special_tokens: bool = True,
        byte_fallback: Literal["eager", "hf"] = "eager",
        prompt_ids: Iterable[int] | None = None,
        stop: Sequence[str] | StopMatcher | None = None,
    ) -> Detokenizer:
        """A new stream: see Detokenizer."""

    def __copy__(self) -> Vocab: ...
    def __deepcopy__(self, memo: Any, /) -> Vocab: ...
    def __reduce__(self) -> NoReturn: ...

@final
class Tokenizer:
    """Text to token ids and back. Immutable, safe to share between threads.

    A copy of it is it. It is not pickled (TypeError): it does not keep what it was made from, so load that in the other
    process.

    Encoding gives the ids that Hugging Face's `tokenizers` 0.23 gives; decoding is ours. What is wrong with a source is
    a TokenizerError, VocabError or LimitError when it is loaded.

    Most sources do not say which tokens end a generation. `eos_tokens` names them; without it, those special tokens
    count that the field uses for it: `</s>`, `<|endoftext|>`, `<|im_end|>`, `<|eot_id|>`, `<|end_of_text|>`,
    `<|eom_id|>`, `<|return|>`, `<|end|>`, `<end_of_turn>`, `<eos>`, `<｜end▁of▁sentence｜>`.
    """

    @classmethod
    def from_file(cls, path: str | PathLike[str], /, *, eos_tokens: Sequence[str] | None = None) -> Tokenizer:
        """Load a Hugging Face `tokenizer.json`. Raises OSError if the file cannot be read."""

    @classmethod
    def from_json(cls, json: str | bytes, /, *, eos_tokens: Sequence[str] | None = None) -> Tokenizer:
        """Load the text of a `tokenizer.json`."""

    @classmethod
    def from_gguf(cls, gguf: Gguf, /, *, eos_tokens: Sequence[str] | None = None) -> Tokenizer:
        """The tokenizer inside a GGUF file, which says what ends a generation."""

    @classmethod
    def from_tiktoken(
        cls,
        ranks: bytes | str | PathLike[str],
        /,
        *,
        pattern: str,
        special_tokens: Mapping[str, int] | None = None,
        eos_tokens: Sequence[str] | None = None,
    ) -> Tokenizer:
        """From tiktoken's file of ranks (its path, or its bytes), which holds neither of the other two.

        pattern: the regular expression a text is cut at, as tiktoken has it, or the name of a known one: gpt2, r50k,
        p50k, cl100k, o200k, llama3, llama4, qwen2, qwen35, tekken. By the two names of Qwen's a text is first composed
        (Unicode NFC), as Qwen's own code does before it asks tiktoken; by the regular expression itself it is not.
        special_tokens: their ids, from 0.

        Raises OSError if the file cannot be read, ParameterError on an id below 0.
        """

    @classmethod
    def from_tekken(
        cls, tekken: bytes | str | PathLike[str], /, *, eos_tokens: Sequence[str] | None = None
    ) -> Tokenizer:
        """From Mistral's `tekken.json` (its path, or its bytes). Raises OSError if the file cannot be read."""

    @classmethod
    def from_sentencepiece(
        cls, model: bytes | str | PathLike[str], /, *, eos_tokens: Sequence[str] | None = None
    ) -> Tokenizer:
        """From a SentencePiece `.model` of BPE or Unigram (its path, or its bytes).

        As sentencepiece does, it puts neither `<s>` nor `</s>` around a text.

        Raises OSError if the file cannot be read.
        """

    @classmethod
    def from_tokenizers(cls, tokenizer: Any, /, *, eos_tokens: Sequence[str] | None = None) -> Tokenizer:
        """From a `tokenizers.Tokenizer`, or anything whose `to_str()` is the text of a `tokenizer.json`."""

    @classmethod
    def from_transformers(cls, tokenizer: Any, /, *, eos_tokens: Sequence[str] | None = None) -> Tokenizer:
        """From a tokenizer of transformers.

        Its `eos_token`, `bos_token` and `chat_template` come along (of several templates the one named "default"), and
        `clean_up_tokenization_spaces` where transformers itself heeds it.

        Nearly all have a `backend_tokenizer`. Of one written in Python its model is loaded (its `sp_model`, a
        `tiktoken.Encoding` among its attributes, or else its `vocab_file` if that is a SentencePiece model) with its
        added tokens, and must read a number of telling texts as it does. One that changes a text first (lower case,
        punctuation) raises TokenizerError, and so does one with none of the three. Ids become text as the model has
        it.
        """

    @property
    def vocab(self) -> Vocab: ...
    @property
    def encoder(self) -> Literal["tokenizers 1.0.0-rc.3", "tokenizers 0.23.2"]:
        """The library that normalizes a text and cuts it into words.

        The newer one is many times faster. It is in force where every part of the tokenizer is known to be equal in
        both, and still hands over the texts on which the two would differ; ids are those of the older one, always.
        The older one stands also for tokenizers of which it does no more than match the pattern between words.
        """

    def __len__(self) -> int: ...
    def encode(self, text: str, /, *, add_special_tokens: bool = True, allow_special: bool = False) -> list[int]:
        """Token ids of a text.

        add_special_tokens: let the tokenizer's post-processor add what it adds (a leading BOS in Llama 3).
        allow_special: read the text of a special token (`<|im_end|>`) as that token, where the token's rules in the
        file (`single_word`, ...) find it. Off by default: what a user typed must not be able to forge a turn.

        Raises TokenizerError if the tokenizer fails, UnicodeEncodeError on half a surrogate pair. Releases the GIL for
        texts of 8 KiB and more.
        """

    def encode_batch(
        self,
        texts: Iterable[str],
        /,
        *,
        add_special_tokens: bool = True,
        allow_special: bool = False,
        threads: int | None = None,
    ) -> list[list[int]]:
        """Token ids of each text, as `encode` gives them.

        threads: at most so many, and never more than the machine runs at once (None: that many).

        Raises what `encode` raises for the first text that fails, ParameterError on `threads` below 1. Releases the
        GIL.
        """

    def encode_with_offsets(
        self, text: str, /, *, add_special_tokens: bool = True, allow_special: bool = False
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of a text, and of each the bytes it stands for: `text.encode()[start:end]`.

        What the post-processor added stands for nothing, (0, 0). Offsets are those of `tokenizers` 0.23 counted in
        bytes of UTF-8, so that all tokens of one character may share it. Many times slower than `encode`.
        """

    def decode(
        self,
        token_ids: Iterable[int],
        /,
        *,
        skip_special_tokens: bool = True,
        byte_fallback: Literal["eager", "hf"] = "eager",
    ) -> str:
        """The text of token ids; ids the vocabulary lacks are skipped, bytes that are not UTF-8 become U+FFFD.

        Always equal to the concatenation of what `detokenizer()` gives for the same ids (where `decoder` is
        "compiled"), and with `byte_fallback="hf"` to what `tokenizers` gives.

        Raises TokenizerError where `decoder` is "window" and the library fails. Releases the GIL for 8,192 ids and
        more.
        """

    @property
    def decoder(self) -> Literal["compiled", "window"]:
        """As `Vocab.decoder`."""

    def detokenizer(
        self,
        *,
        skip_special_tokens: bool = True,
        byte_fallback: Literal["eager", "hf"] = "eager",
        prompt_ids: Iterable[int] | None = None,
        stop: Sequence[str] | StopMatcher | None = None,
    ) -> Detokenizer:
        """A new stream: see Detokenizer."""

    def token_to_id(self, token: str, /) -> int | None:
        """The id of a token by its string in the file, such as `<|im_end|>` or `Ġthe`."""

    def id_to_token(self, token_id: int, /) -> str | None:
        """The string of a token in the file, None if the vocabulary lacks the id. Its text is what `decode` gives."""

    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_ids(self) -> list[int]: ...
    @property
    def chat_template(self) -> str | None:
        """The Jinja source that came with the tokenizer (from GGUF or transformers), or None."""

    def __copy__(self) -> Tokenizer: ...
    def __deepcopy__(self, memo: Any, /) -> Tokenizer: ...
    def __reduce__(self) -> NoReturn: ...

@final
class Detokenizer:
    """One stream of token ids to text that never ends in half a character. One owner; not shared between threads.

    Made by `Tokenizer.detokenizer` and `Vocab.detokenizer`, whose table all streams share: a stream is a few hundred
    bytes, and any ids whatever cost what their bytes cost.

    skip_special_tokens: leave special tokens out.

    byte_fallback, for vocabularies with tokens that are single bytes (`<0xE6>`, as in Llama 2): "eager" shows each
    character when its last byte comes, and each byte that is part of none as one U+FFFD. "hf" does as `tokenizers`
    does: bytes in a row are text if all of them together are UTF-8, and otherwise each is one U+FFFD, so they are held
    until another token follows. The two differ only where bytes are ill-formed.

    prompt_ids: the stream goes on after this prompt, of which it shows nothing again: a leading space stays, and a
    character that the prompt left unfinished is finished. Without it the text begins with the stream, and a vocabulary
    that marks word beginnings (SentencePiece) drops the first one's space. (`Batch.add` is given the prompt's ids
    whatever the text does, so there `continuation` says whether it goes on after them.)

    stop: stop strings, or a StopMatcher with options of its own, to which the stream adds less than a call of
    `StopMatcher.feed` does: made once, it serves any number of streams, where strings are compiled for each. Text is
    then what is safe to show, and nothing after a match. A special token whose text is one of the stops ends the text
    too where special tokens are skipped.

    Ill-formed UTF-8 becomes one U+FFFD for each maximal subpart (Unicode 15, 3.9, "U+FFFD Substitution of Maximal
    Subparts"), as `bytes.decode("utf-8", "replace")` does.

    >>> vocab = Vocab.from_bytes([b"\\xe2\\x82", b"\\xac", b"!"])
    >>> stream = vocab.detokenizer()
    >>> [stream.step(0), stream.step(1), stream.step(2), stream.finish()]
    ['', '\u20ac', '!', '']
    """

    def step(self, token_id: int, /) -> str:
        """The text that became certain with this token. Ids the vocabulary lacks give "".

        Where `decoder` is "window", raises TokenizerError if the library fails; the token is then left out.
        """

    @staticmethod
    def step_many(token_ids: Iterable[int], streams: Sequence[Detokenizer], /) -> list[str]:
        """`streams[i].step(token_ids[i])` for each i, in one call: one tick of a server.

        Raises ArrayError if there are not as many streams as ids, and then steps none. What `step` raises is raised
        after the streams before were stepped.
        """

    @property
    def stop(self) -> str | None:
        """The stop string that the text has ended at. After `finish` it stands until the next step."""

    def finish(self) -> str:
        """The text still held (an unfinished character is one U+FFFD); afterwards the stream is new and fresh."""

    def reset(self) -> None:
        """Forget the stream; it is new and fresh."""

    def copy(self) -> Detokenizer:
        """A stream of its own that goes on from here. Neither is pickled (TypeError): start one by `prompt_ids`."""

    def __copy__(self) -> Detokenizer: ...
    def __deepcopy__(self, memo: Any, /) -> Detokenizer: ...
    def __reduce__(self) -> NoReturn: ...

@final
class StopMatcher:
    """Finds the first of some stop strings in a stream of text and never shows a part of it.

    The stop whose end comes first wins, and of those ending there the longest. What is held back is exactly the longest
    suffix of the text that is a proper prefix of some stop. The result does not depend on how the text is cut. One
    owner; not shared between threads.

    >>> stop = StopMatcher(["END"])
    >>> stop.feed("the E"), stop.feed("N"), stop.feed("D of it")
    (('the ', None), ('', None), ('', 'END'))
    """

    def __new__(
        cls,
        stops: Sequence[str],
        *,
        include_stop: bool = False,
        stop_tie: Literal["longest", "list"] = "longest",
    ) -> Self:
        """include_stop: the text ends with the stop, and nothing is ever held back.

        stop_tie: which of the stops that end together counts, "longest" or the first in the "list", as in vLLM.

        Raises ParameterError on an empty stop, LimitError on more than 16 stops or one over 1,024 bytes.
        """

    @property
    def stops(self) -> list[str]:
        """The stops in the order given."""

    def feed(self, text: str, /, *, armed: bool = True) -> tuple[str, str | None]:
        """(text safe to show, the stop that matched or None). After a match everything is ("", None).

        armed: False for the text of a minimum of tokens. A stop that ends there is text; one that begins there and ends
        later counts (as in vLLM).

        >>> stop = StopMatcher(["END"])
        >>> stop.feed("END, E", armed=False), stop.feed("ND")
        (('END, ', None), ('', 'END'))
        """

    def finish(self) -> str:
        """The text still held, "" after a match; afterwards the matcher is as new."""

    def reset(self) -> None:
        """Forget the stream."""

    def copy(self) -> StopMatcher:
        """Another matcher at the same place of the same stream. Compiled stops are shared.

        Neither is pickled (TypeError): make one from the `stops`.
        """

    def __copy__(self) -> StopMatcher: ...
    def __deepcopy__(self, memo: Any, /) -> StopMatcher: ...
    def __reduce__(self) -> NoReturn: ...

def apply_mask(logits: _Logits, mask: NDArray[np.int32], /) -> None:
    """Set each logit whose mask bit is 0 to -inf, in place.

    logits: (batch, vocab_size), writable. mask: int32 (batch, ceil(vocab_size / 32)); bit `t & 31` of word `t >> 5` is
    token t, 1 = allowed (as in xgrammar and llguidance). Either may have one dimension for a single row.
    Raises ArrayError if shapes, dtypes or devices do not fit, or logits cannot be written.
    """

@final
class GrammarNote:
    """Something in a grammar's source that is not enforced as it stands there: see `Grammar.relaxed`."""

    @property
    def pointer(self) -> str:
        """The JSON Pointer of the schema it is in, as a fragment: `#/properties/a`."""
    @property
    def keyword(self) -> str: ...
    @property
    def what(self) -> str:
        """What becomes of it."""

@final
class Grammar:
    """Which texts a generation may come to, compiled for one vocabulary. Immutable, safe to share between threads.

    The first argument of each is the Tokenizer or the Vocab whose tokens it is for. Compiling takes from microseconds
    to milliseconds and releases the GIL; keep a grammar that is used again. What a grammar learns while it runs is
    shared by all its matchers, and bounded by `grammar_memory_bytes`.

    Nothing is enforced by halves: what a grammar cannot do exactly is an error when it is made, and one that allows no
    text at all is too. Text is UTF-8, never cut within a character at its end.

    Raises VocabError where a token's text depends on the tokens around it (decoders that clean up whole texts), and
    LimitError beyond the limits whose names begin with `grammar_`.
    """

    @classmethod
    def regex(cls, vocab: Tokenizer | Vocab, pattern: str, /) -> Grammar:
        """The texts that match a pattern from end to end.

        The dialect is what Python's `re` and Rust's `regex` share, and what one adds without contradicting the other:
        classes of Unicode, `(?i)`, named groups, counts of any size at no cost, word boundaries and look-around where
        they can be done. `.` is any character but a line feed. What an automaton cannot do, as a backreference, is a
        GrammarError with its `position` in bytes.

        >>> vocab = Vocab.from_bytes([*(bytes([byte]) for byte in range(128)), b""], special_ids=[128], eos_ids=[128])
        >>> matcher = Grammar.regex(vocab, "[0-9]{4}-(0[1-9]|1[0-2])").matcher()
        >>> matcher.accept_bytes(b"2026-1"), [chr(token) for token in matcher.allowed_tokens()]
        (True, ['0', '1', '2'])
        """

    @classmethod
    def json(
        cls,
        vocab: Tokenizer | Vocab,
        /,
        kind: Literal["any", "object", "array"] = "any",
        *,
        whitespace: Literal["any", "compact"] = "any",
        spelling: Literal["any", "canonical"] = "any",
    ) -> Grammar:
        """JSON (RFC 8259) without a schema: any value, or only objects or arrays. The options are `json_schema`'s.

        A key never stands twice in one object.
        """

    @classmethod
    def json_schema(
        cls,
        vocab: Tokenizer | Vocab,
        schema: str | bytes | dict[str, Any] | bool,
        /,
        *,
        property_order: Literal["any", "schema"] = "any",
        whitespace: Literal["any", "compact"] = "any",
        spelling: Literal["any", "canonical"] = "any",
        unsupported: Literal["error", "ignore"] = "error",
    ) -> Grammar:
        """JSON that is valid under a JSON Schema of draft 4 to 2020-12, by its `$schema`.

        schema: its text, or what `json.dumps` makes the text of.
        property_order: keys in "any" order, or the declared ones in that of the "schema"; others stand anywhere.
        whitespace: "any": blanks wherever JSON allows them, at most 64 in a row; "compact": none.
        spelling: "any": every spelling of a string or a number, escapes and exponents included; "canonical": one.
        unsupported: a keyword that is not enforced is an "error", or left out ("ignore") and listed by `relaxed`.

        docs/grammar.md says which keywords are enforced. Raises SchemaError with the JSON Pointer and the keyword at
        fault, for a schema that no value satisfies too; GrammarError where the text is no JSON.

        >>> vocab = Vocab.from_bytes([*(bytes([byte]) for byte in range(128)), b""], special_ids=[128], eos_ids=[128])
        >>> schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "additionalProperties": False}
        >>> matcher = Grammar.json_schema(vocab, schema, whitespace="compact", spelling="canonical").matcher()
        >>> matcher.accept_bytes(b'{"'), matcher.forced_bytes()
        (True, b'ok":')
        """

    @classmethod
    def choice(cls, vocab: Tokenizer | Vocab, texts: Iterable[str], /) -> Grammar:
        """One of these texts. Raises GrammarError if there is none.

        >>> vocab = Vocab.from_bytes([b"y", b"es", b"no", b"<end>"], special_ids=[3], eos_ids=[3])
        >>> matcher = Grammar.choice(vocab, ["yes", "no"]).matcher()
        >>> matcher.allowed_tokens(), matcher.accept(0), matcher.allowed_tokens()
        ([0, 2], True, [1])
        """

    def matcher(self, *, stop_token_ids: Iterable[int] | None = None, continuation: bool = False) -> Matcher:
        """A matcher at the beginning of a text.

        stop_token_ids: ids that end the text as the vocabulary's eos ids do, and are nothing else then.
        continuation: the text goes on after a prompt's, as a completion's does, instead of beginning anew, as an answer
            in a chat does: a vocabulary that marks word beginnings drops the first one's space there.

        Raises TokenIdError, LimitError.
        """

    def outline(self) -> str:
        """What it became, in lines for people; not a format to be read by programs."""

    @property
    def vocab(self) -> Vocab: ...
    @property
    def relaxed(self) -> list[GrammarNote]:
        """What of its source is not enforced as it stands there. Empty: everything is."""
    @property
    def memory_bytes(self) -> int:
        """Memory it holds, what it has learned so far included."""

@final
class Matcher:
    """One sequence under a grammar: what it has read, and so which tokens may come next. Made by `Grammar.matcher`.

    End tokens (the vocabulary's eos ids, and the matcher's own) are allowed exactly where the text may end, and nothing
    after one of them. Special tokens are never allowed otherwise, nor are tokens without text. An id the vocabulary
    lacks is not allowed, and no error.

    Any method may be called from any thread; they take turns. LimitError where one mask or one token takes more than
    `grammar_step_fuel` steps, or the text more than `grammar_text_bytes`: the matcher is then as it was before the call
    and can be used on.

    `len()` is how many tokens and pieces of bytes were accepted.
    """

    @property
    def grammar(self) -> Grammar: ...
    def fill_mask(
        self, mask: NDArray[np.int32] | _SupportsDlpack, row: int = 0
    ) -> Literal["changed", "unchanged", "all"]:
        """Write the tokens that may come next into one row of a mask.

        mask: writable int32 (batch, words) or (words,) on the CPU, numpy, torch or any other with DLPack or the buffer
        protocol, its rows at any stride. Bit `t & 31` of word `t >> 5` is token t, 1 = allowed. words is at least
        ceil(len(vocab) / 32); the bits beyond the vocabulary are 0.

        The row is written in any case. Returned is "all" if every id of the vocabulary is allowed, so that there is
        nothing to mask; "unchanged" if it is the mask that this matcher filled last, so that a copy on a device still
        holds; else "changed". Raises ArrayError, ParameterError on a row that is not there, LimitError.
        """

    def allows(self, token_id: int, /) -> bool:
        """Whether a token may come next: its bit in the mask."""

    def accept(self, token_id: int, /) -> bool:
        """Take a token. False if it may not come next; then nothing has changed."""

    def accept_bytes(self, data: _Buffer, /) -> bool:
        """Take bytes that came from elsewhere, as one piece. False if they may not come next: then nothing changed."""

    def validate(self, token_ids: Iterable[int], /) -> int:
        """How many of these tokens, one after the other, would be accepted. Nothing changes."""

    def allowed_tokens(self, limit: int = 64) -> list[int] | None:
        """The tokens that may come next, ascending; None if they are more than `limit`."""

    def forced_bytes(self) -> bytes:
        """What every text that goes on from here begins with, at most 4,096 bytes: b"" where there is a choice, or
        where the text may end. Text that need not be sampled; how the model would cut it into tokens it does not say.
        """

    def is_accepting(self) -> bool:
        """Whether the text may end here, so that end tokens are allowed."""

    def is_complete(self) -> bool:
        """Whether the text may end here and may not go on."""

    def is_terminated(self) -> bool:
        """Whether an end token was accepted."""

    def rollback(self, n: int = 1, /) -> None:
        """Take back the last n of what was accepted, tokens and pieces of bytes alike. Raises ParameterError if so many
        were not."""

    def reset(self) -> None:
        """Back to the beginning of the text."""

    def fork(self) -> Matcher:
        """A matcher of its own that goes on from here."""

    def __copy__(self) -> Matcher: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...

def fill_masks(
    matchers: Sequence[Matcher | None],
    mask: NDArray[np.int32] | _SupportsDlpack,
    /,
    *,
    threads: int | None = None,
) -> list[Literal["changed", "unchanged", "all"] | None]:
    """`matchers[i].fill_mask(mask, i)` for each i, without the GIL. None leaves its row as it is.

    Matchers of one grammar take turns; those of others run on at most `threads` threads (None: as many as the machine
    runs at once), which are only started where the first masks turn out to be much work. Raises what `fill_mask`
    raises for the first row that fails; all others are written then. ArrayError unless there is a row for each.
    """

@final
class SamplingParams:
    """How one request draws its tokens. Immutable; compares and pickles by value. docs/sampling.md has every rule.

    What scales and cuts, in the order of `order="default"`:

    top_n_sigma: keep logits within so many standard deviations of the largest (2411.07641); 0 keeps all.
    temperature: >= 0; 0 is greedy (the largest logit, the lowest id among equals, nothing cut).
    dynatemp_range, dynatemp_exponent: the temperature is as much lower or higher as the distribution is less or more
        even: low + (high - low) * (entropy / largest entropy) ** exponent. Range 0: fixed.
    top_k: keep the k most likely tokens, ties by lowest id; 0 keeps all.
    top_p: in (0, 1]; keep the shortest prefix of the descending order whose mass, renormalised after top_k, reaches
        top_p (Holtzman et al., 1904.09751); the token that crosses is kept.
    min_p: in [0, 1]; keep tokens at least min_p times as likely as the most likely one; 0 keeps all.
    typical_p: in (0, 1]; keep the tokens whose surprise is nearest to the entropy (Meister et al., 2202.00666).
    tfz: in (0, 1]; tail-free: keep up to where the second differences of the sorted probabilities have this share.
    epsilon_cutoff, eta_cutoff: in [0, 1); drop what is less likely, for eta less where the distribution is even (Hewitt
        et al., 2210.15191).
    xtc_probability, xtc_threshold: with this probability drop all tokens of at least the threshold but the least
        likely of them.
    mirostat: 1 or 2 holds the surprise near `mirostat_tau` bits, learning by `mirostat_eta` (Basu et al., 2007.14966),
        in place of all that cuts; 0 is off.

    What changes logits before that:

    logit_bias: {token id: what is added}; -inf bans.
    bad_words: sequences of token ids that are not to be: the last id of each is banned where the rest stands.
    repetition_penalty: > 0; positive logits of counted tokens are divided by it, others multiplied (1909.05858).
    frequency_penalty, presence_penalty: in [-2, 2]; taken from logits, times the count and once (OpenAI).
    repetition_counts, frequency_counts: "all" counts the prompt too, "output" what was drawn. None: all for repetition,
        output for frequency and presence (all under "llama.cpp").
    penalty_last_n: how many of the last tokens are looked at; None: all (64 under "llama.cpp").
    dry_multiplier, dry_base, dry_allowed_length, dry_last_n, dry_breakers: a token that would go on with a repetition
        of n >= dry_allowed_length tokens loses multiplier * base ** (n - dry_allowed_length); none goes across a
        breaker.
    watermark: "kgw" (as transformers does on a CPU) or "philox" adds `watermark_delta` to a share `watermark_gamma` of
        the tokens, chosen by `watermark_key` and the last token (2301.10226).

    order: None is the sampler's; "default", "vllm", "tgi", "hf", "llama.cpp" do as their engine does, ties included; or
        a list of the names of processors: those above, "dry", "xtc". What a field asks for must be in it.
    seed: 0 <= seed < 2**64; the same seed gives the same tokens for the same logits, whatever else is in the batch.
        None draws one, readable afterwards.
    choice: which of several completions of one prompt this is; choices of one seed are independent.
    logprobs: None, or how many of the most likely tokens to report beside the chosen one (0..20).
    logprobs_mode: "raw" are those of the model's own row, "processed" of what the token was drawn from (greedy: at
        temperature 1, nothing cut).

    Raises ParameterError naming field, value and range, LimitError on too many ids.
    """

    def __new__(
        cls,
        *,
        temperature: float = 1.0,
        dynatemp_range: float = 0.0,
        dynatemp_exponent: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        tfz: float = 1.0,
        top_n_sigma: float = 0.0,
        epsilon_cutoff: float = 0.0,
        eta_cutoff: float = 0.0,
        xtc_probability: float = 0.0,
        xtc_threshold: float = 0.1,
        mirostat: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        repetition_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repetition_counts: Literal["all", "output"] | None = None,
        frequency_counts: Literal["all", "output"] | None = None,
        penalty_last_n: int | None = None,
        dry_multiplier: float = 0.0,
        dry_base: float = 1.75,
        dry_allowed_length: int = 2,
        dry_last_n: int | None = None,
        dry_breakers: Iterable[int] | None = None,
        logit_bias: Mapping[int, float] | None = None,
        bad_words: Iterable[Iterable[int]] | None = None,
        watermark: Literal["kgw", "philox"] | None = None,
        watermark_gamma: float = 0.25,
        watermark_delta: float = 2.0,
        watermark_key: int = 15485863,
        order: _Order | None = None,
        seed: int | None = None,
        choice: int = 0,
        logprobs: int | None = None,
        logprobs_mode: Literal["raw", "processed"] = "raw",
    ) -> Self: ...
    @property
    def temperature(self) -> float: ...
    @property
    def dynatemp_range(self) -> float: ...
    @property
    def dynatemp_exponent(self) -> float: ...
    @property
    def top_k(self) -> int: ...
    @property
    def top_p(self) -> float: ...
    @property
    def min_p(self) -> float: ...
    @property
    def typical_p(self) -> float: ...
    @property
    def tfz(self) -> float: ...
    @property
    def top_n_sigma(self) -> float: ...
    @property
    def epsilon_cutoff(self) -> float: ...
    @property
    def eta_cutoff(self) -> float: ...
    @property
    def xtc_probability(self) -> float: ...
    @property
    def xtc_threshold(self) -> float: ...
    @property
    def mirostat(self) -> int: ...
    @property
    def mirostat_tau(self) -> float: ...
    @property
    def mirostat_eta(self) -> float: ...
    @property
    def repetition_penalty(self) -> float: ...
    @property
    def frequency_penalty(self) -> float: ...
    @property
    def presence_penalty(self) -> float: ...
    @property
    def repetition_counts(self) -> Literal["all", "output"] | None: ...
    @property
    def frequency_counts(self) -> Literal["all", "output"] | None: ...
    @property
    def penalty_last_n(self) -> int | None: ...
    @property
    def dry_multiplier(self) -> float: ...
    @property
    def dry_base(self) -> float: ...
    @property
    def dry_allowed_length(self) -> int: ...
    @property
    def dry_last_n(self) -> int | None: ...
    @property
    def dry_breakers(self) -> list[int]: ...
    @property
    def logit_bias(self) -> dict[int, float]: ...
    @property
    def bad_words(self) -> list[list[int]]: ...
    @property
    def watermark(self) -> Literal["kgw", "philox"] | None: ...
    @property
    def watermark_gamma(self) -> float: ...
    @property
    def watermark_delta(self) -> float: ...
    @property
    def watermark_key(self) -> int: ...
    @property
    def order(self) -> str | list[str] | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def choice(self) -> int: ...
    @property
    def logprobs(self) -> int | None: ...
    @property
    def logprobs_mode(self) -> Literal["raw", "processed"]: ...
    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Any]]: ...

@final
class SampleOutput:
    """Columns of one `Sampler.step`, a row for each slot in the order given. n = the largest `logprobs` among them."""

    @property
    def tokens(self) -> NDArray[np.int32]:
        """(batch,) the token drawn, -1 where status is NAN or EMPTY."""
    @property
    def status(self) -> NDArray[np.uint8]:
        """(batch,) `logitwire.RowStatus`: OK 0, INF 1, NAN 2, EMPTY 3, FAULT 4, LIMIT 5."""
    @property
    def logprobs(self) -> NDArray[np.float32]:
        """(batch,) natural log-probability of the token under the model's own row (temperature 1, before mask and
        processors), or as `logprobs_mode` says; NaN where it was not asked for."""
    @property
    def ranks(self) -> NDArray[np.int32]:
        """(batch,) 1 + the number of tokens with a larger logit there; 0 where it was not asked for."""
    @property
    def top_ids(self) -> NDArray[np.int32]:
        """(batch, n) the most likely tokens there that the vocabulary has, -1 past what a row asked for."""
    @property
    def top_logprobs(self) -> NDArray[np.float32]:
        """(batch, n) their log-probabilities, NaN past what a row asked for."""

@final
class Sampler:
    """Draws a token for each row of a batch. Rows come and go by slot. One owner; not shared between threads.

    The random numbers are Philox4x32-10 keyed by (seed, step, choice): docs/sampling.md has the whole rule, so a draw
    can be recomputed by hand.
    """

    def __new__(
        cls, vocab_size: int, *, order: _Order | None = None, vocab: Vocab | None = None, threads: int | None = None
    ) -> Self:
        """vocab_size: the width of the logits. vocab: ids it lacks are never drawn. order: that of requests whose
        parameters name none; None is "default". threads: at most so many take rows at the same time, where they are
        worth it; None: `LOGITWIRE_THREADS`, or as many as the machine runs at once. They end with each call.

        Raises ParameterError on an unknown order, VocabError if `vocab` is larger than `vocab_size`.
        """

    def add(self, params: SamplingParams, prompt_ids: Iterable[int] | None = None) -> int:
        """Start a request and return its slot. prompt_ids: what penalties count and watermarks go on from.

        Raises TokenIdError on an id outside the vocabulary, ParameterError if the order lacks what `params` ask for."""

    def remove(self, slot: int, /) -> None:
        """End a request; its slot may be given out again. Raises SlotError if there is none."""

    def step(self, logits: _Logits, slots: Sequence[int], *, mask: NDArray[np.int32] | None = None) -> SampleOutput:
        """Draw one token for each row; row i belongs to `slots[i]`.

        logits: (batch, vocab_size). mask: as in `apply_mask`. Each row's step counter goes up by one when it yields a
        token. A row never raises: see `status`. Raises ArrayError, SlotError (unknown slot, or twice in one call).
        """

    def step_candidates(
        self, ids: NDArray[np.int32], logits: _Logits, logsumexp: NDArray[np.float32], slots: Sequence[int]
    ) -> SampleOutput:
        """The same for rows a device reduced to their k largest: ids int32 (batch, k), logits (batch, k), and the
        log-sum-exp of each full row, float32 (batch,). Equal to `step` with top_k at most k; log-probabilities are
        those of the full row. An id of -1 is padding. Raises ArrayError, SlotError, TokenIdError."""

    def apply(self, logits: _Logits, slots: Sequence[int]) -> None:
        """Apply each slot's processors to its row in place and draw nothing.

        What is kept is divided by the temperature, everything cut is -inf; temperature 0 keeps the largest logit only.
        Where the division would overflow the row's dtype, the largest kept becomes 0 and the others finite numbers
        below it: the same distribution. A row with NaN is left as it is. Raises ArrayError, SlotError.
        """

@final
class Framer:
    """Writes one request's server-sent events: everything but the text is prepared once."""

    def __new__(
        cls,
        kind: Literal["chat", "completion"],
        *,
        id: str,
        model: str,
        created: int,
        index: int = 0,
        include_usage: bool = False,
    ) -> Self:
        """kind: the OpenAI object streamed, `chat.completion.chunk` or `text_completion`.

        include_usage: as `stream_options.include_usage`: every chunk carries `"usage":null`, `usage()` the numbers.
        """

    def start(self) -> bytes:
        """The first frame of a chat stream (the role); b"" for a completion."""

    def text(
        self,
        text: str,
        /,
        *,
        logprobs: Sequence[tuple[bytes, float, Sequence[tuple[bytes, float]], int]] | None = None,
    ) -> bytes:
        """One frame for a piece of text; b"" for "" without logprobs.

        logprobs: of each token that the piece is made of: its bytes, its natural log-probability (what is not finite is
            written as -9999.0), the most likely tokens and theirs, best first, and where it begins in the whole text,
            in characters (a completion's `text_offset`; a chat does not show it).
        """

    def texts(self, texts: Iterable[str], /) -> bytes:
        """One frame for each piece, joined: the cheapest way to send many tokens. Nothing for a piece that is ""."""

    def tool_call(self, index: int, /, *, id: str, name: str) -> bytes:
        """A tool call begins, the choice's `index`-th from 0. Raises ParameterError if this is no chat."""

    def tool_arguments(self, index: int, arguments: str, /) -> bytes:
        """A piece of its arguments, which are JSON as text; b"" for "". Raises ParameterError if this is no chat."""

    def finish(self, reason: Literal["stop", "length", "tool_calls", "content_filter", "function_call"], /) -> bytes:
        """The frame that carries the finish reason. Raises ParameterError; the tool ones are a chat's."""

    def usage(self, prompt_tokens: int, completion_tokens: int, /) -> bytes:
        """The frame with the token counts; b"" without include_usage."""

@final
class StepOutput:
    """Columns of one `Batch.step`: those of SampleOutput, and what became of each token."""

    @property
    def tokens(self) -> NDArray[np.int32]: ...
    @property
    def status(self) -> NDArray[np.uint8]: ...
    @property
    def logprobs(self) -> NDArray[np.float32]: ...
    @property
    def ranks(self) -> NDArray[np.int32]: ...
    @property
    def top_ids(self) -> NDArray[np.int32]: ...
    @property
    def top_logprobs(self) -> NDArray[np.float32]: ...
    @property
    def finish(self) -> NDArray[np.uint8]:
        """(batch,) `logitwire.FinishReason`: RUNNING 0, EOS 1, STOP_TOKEN 2, STOP_STRING 3, LENGTH 4, ERROR 5,
        GRAMMAR 6."""
    @property
    def stop_index(self) -> NDArray[np.int32]:
        """(batch,) which stop string matched, -1 for none."""
    @property
    def text(self) -> bytes:
        """UTF-8 of all rows, one after the other; row i is `text[text_offsets[i]:text_offsets[i + 1]]`."""
    @property
    def text_offsets(self) -> NDArray[np.int64]:
        """(batch + 1,)"""
    @property
    def frames(self) -> bytes:
        """Server-sent events of all rows with a framer, ready for the wire; cut by `frame_offsets` like `text`."""
    @property
    def frame_offsets(self) -> NDArray[np.int64]:
        """(batch + 1,)"""

@final
class Batch:
    """The whole line for many requests: one `step` masks, samples, detokenizes, watches for stops and frames each row.

    A row gives exactly what the stations give when called one by one. One owner; not shared between threads.
    """

    def __new__(
        cls,
        vocab: Vocab,
        *,
        vocab_size: int | None = None,
        order: _Order | None = None,
        threads: int | None = None,
    ) -> Self:
        """vocab_size: the width of the model's logits (any other is an error), at least len(vocab); None: any width
        from len(vocab) up. Ids the vocabulary lacks are never drawn. order, threads: as `Sampler` has them."""

    def __len__(self) -> int:
        """The number of requests in the batch."""

    def add(
        self,
        params: SamplingParams,
        prompt_ids: Iterable[int] | None = None,
        *,
        max_tokens: int | None = None,
        min_tokens: int = 0,
        stop: Sequence[str] | StopMatcher | None = None,
        include_stop: bool = False,
        stop_token_ids: Iterable[int] | None = None,
        ignore_eos: bool = False,
        skip_special_tokens: bool = True,
        byte_fallback: Literal["eager", "hf"] = "eager",
        continuation: bool = False,
        grammar: Grammar | None = None,
        framer: Framer | None = None,
    ) -> int:
        """Start a request and return its slot.

        max_tokens: > 0; the last token allowed ends it with LENGTH.
        min_tokens: 0 <= min_tokens <= max_tokens; within as many tokens nothing else ends it: ids that would are not
            drawn, stop strings that end there are text. A row left without a token has status EMPTY.
        stop: stop strings, as in StopMatcher. Or a StopMatcher made once for many requests, with its own include_stop
            and stop_tie; what it has seen does not count.
        include_stop: the text ends with the stop string.
        stop_token_ids: ids that end it without text, like the vocabulary's eos ids, which `ignore_eos` disarms.
        skip_special_tokens, byte_fallback: as in Detokenizer.
        continuation: the text goes on after the prompt's, as a completion's does, instead of beginning anew, as an
            answer in a chat does: see `prompt_ids` of Detokenizer.

        grammar: what the text is held to; one compiled for this batch's vocabulary. Whatever ends the request by its id
            is drawn exactly where the text may end, and where it may not go on either, the request ends with the text:
            GRAMMAR. A mask given to `step` narrows it further. A row without an allowed token has status EMPTY, one
            whose grammar went beyond a limit LIMIT.

        A special token whose text is one of the stop strings ends the request with it, even if the token is no text
        because special tokens are skipped, or because it is an eos or stop token id.

        Raises ParameterError, LimitError, TokenIdError, VocabError.
        """

    def remove(self, slot: int, /) -> None: ...
    def step(self, logits: _Logits, slots: Sequence[int], *, mask: NDArray[np.int32] | None = None) -> StepOutput:
        """One decode step. Row i of logits (batch, vocab_size) belongs to `slots[i]`; slots not named rest.

        A finished slot must be removed before the next step. Raises ArrayError, SlotError (unknown, twice, finished).
        """

    def step_candidates(
        self, ids: NDArray[np.int32], logits: _Logits, logsumexp: NDArray[np.float32], slots: Sequence[int]
    ) -> StepOutput:
        """`step` for rows reduced on a device, as `Sampler.step_candidates`."""

@final
class Event:
    """One server-sent event. Immutable, compared and hashed by its three fields."""

    @property
    def type(self) -> str:
        """The `event` field, "message" if there was none."""
    @property
    def data(self) -> str:
        """The `data` lines, joined by LF. What was not UTF-8 is U+FFFD."""
    @property
    def id(self) -> str:
        """The last event id in force, "" if there was none."""
    def __new__(cls, data: str, *, type: str = "message", id: str = "") -> Self: ...
    def __hash__(self) -> int: ...

@final
class EventBytes:
    """One server-sent event whose data lies where it was received: for proxies, and for parsers that take bytes."""

    @property
    def type(self) -> str:
        """As of Event."""
    @property
    def parts(self) -> tuple[memoryview, ...]:
        """The data in pieces that LF would join, nothing decoded. Each `data` line that lies inside the chunk fed last
        is a slice of that chunk; what came in chunks before it is one piece of its own, the first. Read-only.

        Slices keep the chunk alive, and a bytearray at its size."""
    @property
    def data(self) -> memoryview | bytes:
        """The only piece as it is, or several joined, which is a copy."""
    @property
    def id(self) -> str:
        """As of Event."""

@final
class SseParser:
    """Bytes of an event stream, cut anywhere, to events (WHATWG HTML, 9.2.6 "Interpreting an event stream").

    Linear in its input. A line inside one chunk is not copied on the way to its event; comments and unknown fields are
    not kept, however long. The three ways to feed differ in what they make of an event, and may be mixed.

    >>> parser = SseParser()
    >>> parser.feed(b"data: hel"), [e.data for e in parser.feed(b"lo\\n\\n")]
    ([], ['hello'])
    """

    def __new__(cls, *, max_line: int = 1_048_576, max_event: int = 8_388_608, max_id: int = 4096) -> Self:
        """Bounds in bytes: on a line (comments and unknown fields aside), on the data of one event, on an id.

        Beyond one, feeding raises LimitError, until `reset`; its `events` are those that the chunk completed before.
        """

    def feed(self, chunk: _Buffer, /) -> list[Event]:
        """The events that this chunk completed. Raises LimitError."""

    def feed_bytes(self, chunk: _Buffer, /) -> list[EventBytes]:
        """The same, with their data as slices of `chunk` where they lie inside it. Raises LimitError.

        >>> chunk = b'data: {"a": 1}\\n\\n'
        >>> [event] = SseParser().feed_bytes(chunk)
        >>> event.data.obj is chunk, bytes(event.data)
        (True, b'{"a": 1}')
        """

    def feed_json(self, chunk: _Buffer, /) -> list[Any]:
        """The same, as the values that their data is as JSON, without type and id; after `[DONE]` there are none.

        Raises LimitError, and PayloadError on data that is no JSON, or nested deeper than 200; then until `reset`. As
        with `json.loads`, NaN and Infinity are taken, integers are exact, and of equal names the last counts.

        >>> parser = SseParser()
        >>> parser.feed_json(b'data: {"a": [1, 2.5]}\\n\\ndata: [DONE]\\n\\n'), parser.done
        ([{'a': [1, 2.5]}], True)
        """

    def reset(self) -> None:
        """Start over, as for a new connection; the last event id and retry stay."""

    @property
    def done(self) -> bool:
        """Whether there was an event with the data `[DONE]`, as OpenAI's streams end."""
    @property
    def last_event_id(self) -> str:
        """What a client that reconnects sends as `Last-Event-ID`."""
    @property
    def retry_ms(self) -> int | None:
        """The last valid `retry` field, in milliseconds."""

@final
class Template:
    """A frame of JSON with a place for one string, prepared once: for streams that Framer does not know.

    >>> delta = Template('{"type":"response.output_text.delta","delta":', "}", event="response.output_text.delta")
    >>> delta.text('"hi"')
    b'event: response.output_text.delta\\ndata: {"type":"response.output_text.delta","delta":"\\\\"hi\\\\""}\\n\\n'
    """

    def __new__(cls, before: str, after: str, /, *, event: str | None = None) -> Self:
        """before, after: the JSON around the string, whose quotes are not part of them.

        Raises ParameterError if with a string between them they are not JSON on one line, or if `event` holds CR, LF or
        NUL.
        """

    def text(self, text: str, /) -> bytes:
        """The frame with this string."""

    def texts(self, texts: Iterable[str], /) -> bytes:
        """One frame for each string, joined."""

def sse_frame(data: str, /, *, event: str | None = None, id: str | None = None, retry_ms: int | None = None) -> bytes:
    """One event as bytes; data is split at CR, LF and CRLF into as many `data` lines.

    Raises ParameterError if `event` or `id` holds CR, LF or NUL.

    >>> sse_frame("one\\ntwo", event="greeting")
    b'event: greeting\\ndata: one\\ndata: two\\n\\n'
    """

def sse_comment(text: str = "", /) -> bytes:
    """A comment line that clients ignore, to keep a connection alive. Raises ParameterError on CR or LF."""

def sse_error(
    message: str, /, *, type: str = "server_error", param: str | None = None, code: str | None = None
) -> bytes:
    """An error inside a stream, as OpenAI's have it.

    >>> sse_error("out of memory", code="oom")
    b'data: {"error":{"message":"out of memory","type":"server_error","param":null,"code":"oom"}}\\n\\n'
    """

def sse_tgi_token(
    index: int,
    token: tuple[int, str, float, bool],
    /,
    *,
    top_tokens: Sequence[tuple[int, str, float, bool]] = ...,
    end: tuple[str, Literal["length", "eos_token", "stop_sequence"], int, int | None] | None = None,
) -> bytes:
    """One token of a stream of text-generation-inference's `/generate_stream`, the index-th from 1.

    token, top_tokens: id, text, natural log-probability (null if it is not finite), whether it is special.
    end: of the last one: all the text, the finish reason, the number of tokens, the seed. Raises ParameterError.

    >>> sse_tgi_token(1, (262, " the", -0.5, False))[:48]
    b'data: {"index":1,"token":{"id":262,"text":" the"'
    """

def sse_tgi_error(message: str, error_type: str = "generation", /) -> bytes:
    """An error inside such a stream: `{"error":...,"error_type":...}`."""

SSE_DONE: bytes
"""`data: [DONE]` as one frame: how OpenAI's streams end."""

@final
class GgufTensor:
    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost dimension first, as numpy has it."""
    @property
    def type(self) -> str:
        """ "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", ...; a type this version cannot decode is "type N"."""
    @property
    def offset(self) -> int:
        """Of its first byte from the file's start."""
    @property
    def nbytes(self) -> int: ...

@final
class Gguf:
    """A GGUF file (version 2 or 3) in memory: its header read and every offset checked. Immutable.

    Raises ModelFileError with the byte offset on anything truncated, inconsistent or beyond the limits.
    """

    def __new__(cls, buffer: _Buffer, /) -> Self:
        """buffer: the whole file; pass an `mmap` so that nothing is copied."""

    @property
    def metadata(self) -> dict[str, Any]:
        """Keys to str, int, float, bool, or lists of them."""
    @property
    def tensors(self) -> dict[str, GgufTensor]: ...
    def dequantize(self, name: str, /) -> NDArray[np.float32]:
        """A tensor as float32, in its shape. Raises KeyError, ModelFileError on a type not supported.
        Releases the GIL."""

@final
class ChatTemplate:
    """A Jinja chat template, run without any way into Python.

    Bounded by fuel (instructions, and most of the data processed) and a cap on the output. One thing is not: a macro
    that doubles its arguments, call after call, can take long and much memory. Run templates of models you chose.
    """

    def __new__(cls, source: str, /, *, bos_token: str = "", eos_token: str = "") -> Self:
        """Raises TemplateError with the line if the template does not parse."""

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt for a conversation. messages: dicts with "role" and "content", made of JSON types.

        Raises TemplateError (also for the template's own `raise_exception`), LimitError out of fuel or output.
        """

def limits() -> dict[str, int]:
    """The table of limits in force, by name."""

def is_debug_build() -> bool:
    """Whether the core was built without optimisation: nobody should time such a one."""

def cpu_features() -> list[str]:
    """Instruction sets of this machine that kernels may use, for `logitwire doctor`."""
