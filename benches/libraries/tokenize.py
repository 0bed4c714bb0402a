"""Text to ids: `LIBRARIES[name](vocabulary)` gives the ways to encode. Special tokens in the text are text.

Each is asked for what it gives soonest, a list of integers or an array of them: who wants a list has to add its making.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from vocabulary import Vocabulary

from libraries import Unsupported

Ids: TypeAlias = Sequence[int]


class Encoder(NamedTuple):
    encode: Callable[[str], Ids]
    encode_batch: Callable[[list[str]], Sequence[Ids]]


def logitwire(vocabulary: Vocabulary) -> Encoder:
    tokenizer = vocabulary.ours
    return Encoder(
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        lambda texts: tokenizer.encode_batch(texts, add_special_tokens=False),
    )


def hugging_face(vocabulary: Vocabulary) -> Encoder:
    library = vocabulary.library
    return Encoder(
        lambda text: library.encode(text, add_special_tokens=False).ids,
        lambda texts: [one.ids for one in library.encode_batch_fast(texts, add_special_tokens=False)],
    )


def tiktoken(vocabulary: Vocabulary) -> Encoder:
    import tiktoken

    if vocabulary.tiktoken is None:
        raise Unsupported(f"tiktoken has no file for {vocabulary.name}")
    made = vocabulary.tiktoken()
    encoding = tiktoken.Encoding(
        vocabulary.name,
        pat_str=made.pattern,
        mergeable_ranks=dict(made.ranks),
        special_tokens=dict(made.special_tokens),
    )
    return Encoder(encoding.encode_ordinary, encoding.encode_ordinary_batch)


def splintr(vocabulary: Vocabulary) -> Encoder:
    import splintr

    tokenizer = splintr.from_json(vocabulary.path)
    return Encoder(tokenizer.encode_ordinary, tokenizer.encode_batch)


def gigatoken(vocabulary: Vocabulary) -> Encoder:
    import gigatoken

    tokenizer = gigatoken.Tokenizer(vocabulary.path)
    return Encoder(tokenizer.encode, tokenizer.encode_batch_list)


def snaptokens(vocabulary: Vocabulary) -> Encoder:
    import snaptokens

    tokenizer = snaptokens.Tokenizer.from_file(vocabulary.path)
    return Encoder(
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        lambda texts: [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)],
    )


def fastokens(vocabulary: Vocabulary) -> Encoder:
    import fastokens

    tokenizer = fastokens.Tokenizer.from_file(vocabulary.path)
    return Encoder(
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        lambda texts: [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)],
    )


LIBRARIES: dict[str, Callable[[Vocabulary], Encoder]] = {
    "logitwire": logitwire,
    "tokenizers": hugging_face,
    "tiktoken": tiktoken,
    "splintr-rs": splintr,
    "gigatoken": gigatoken,
    "snaptokens": snaptokens,
    "fastokens": fastokens,
}
