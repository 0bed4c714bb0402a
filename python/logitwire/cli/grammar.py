"""`logitwire grammar`: whether a text is allowed, what a grammar became, and texts that it allows."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
import numpy as np

import logitwire as lw
from logitwire.cli import options, terminal

END = 256
"""The end token of the vocabulary of bytes."""

SHOWN_WIDTH = 72
"""Columns of a line that are shown around its first wrong byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a grammar comes from: exactly one of the first four."""

    schema: str | None
    regex: str | None
    json_kind: str | None
    choice: tuple[str, ...]
    whitespace: str
    property_order: str
    unsupported: str

    def compile(self, vocab: lw.Vocab | lw.Tokenizer) -> lw.Grammar:
        given = [self.schema is not None, self.regex is not None, self.json_kind is not None, bool(self.choice)]
        if sum(given) != 1:
            raise click.UsageError("a grammar is one of --schema, --regex, --json and --choice")
        if self.schema is not None:
            return lw.Grammar.json_schema(
                vocab,
                _schema(self.schema),
                whitespace=self.whitespace,  # type: ignore[arg-type]
                property_order=self.property_order,  # type: ignore[arg-type]
                unsupported=self.unsupported,  # type: ignore[arg-type]
            )
        if self.regex is not None:
            return lw.Grammar.regex(vocab, self.regex)
        if self.json_kind is not None:
            return lw.Grammar.json(vocab, self.json_kind, whitespace=self.whitespace)  # type: ignore[arg-type]
        return lw.Grammar.choice(vocab, self.choice)


def _schema(argument: str) -> bytes:
    if argument.lstrip().startswith("{") or argument in ("true", "false"):
        return argument.encode()
    return Path(argument).read_bytes()


SOURCE = (
    click.option("--schema", metavar="FILE|JSON", help="A JSON Schema: a file, or the schema itself."),
    click.option("--regex", metavar="PATTERN", help="A regular expression that the whole text matches."),
    click.option(
        "--json",
        "json_kind",
        type=click.Choice(["any", "object", "array"]),
        is_flag=False,
        flag_value="any",
        help="JSON without a schema: any value, or only objects or arrays.",
    ),
    click.option("--choice", multiple=True, metavar="TEXT", help="One of these texts: give it several times."),
    click.option(
        "--whitespace",
        type=click.Choice(["any", "compact"]),
        default="any",
        show_default=True,
        help="Of JSON: blanks wherever it allows them, or none.",
    ),
    click.option(
        "--property-order",
        type=click.Choice(["any", "schema"]),
        default="any",
        show_default=True,
        help="Of JSON: keys in any order, or in the schema's.",
    ),
    click.option(
        "--unsupported",
        type=click.Choice(["error", "ignore"]),
        default="error",
        show_default=True,
        help="What a keyword that cannot be enforced is: an error, or left out and listed by `explain`.",
    ),
)


def with_source(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command these options as one argument, `source`."""

    @functools.wraps(command)
    def gathered(**arguments: Any) -> None:
        command(source=Source(**{field.name: arguments.pop(field.name) for field in fields(Source)}), **arguments)

    return functools.reduce(lambda inner, option: option(inner), reversed(SOURCE), gathered)


def bytes_vocab() -> lw.Vocab:
    """A token for each byte, and an end: what a grammar is, whatever the model."""
    return lw.Vocab.from_bytes([*(bytes([byte]) for byte in range(256)), b""], special_ids=[END], eos_ids=[END])


@click.group()
def grammar() -> None:
    """See what a grammar allows: a JSON Schema, a regular expression, JSON, or a choice of texts.

    \b
    Examples:
      logitwire grammar check answer.json --schema person.schema.json
      logitwire grammar explain --schema person.schema.json
      logitwire grammar sample --regex "[a-z]{3}-[0-9]{2}" --count 5
    """


@grammar.command()
@click.argument("file", default="-")
@with_source
def check(file: str, source: Source) -> None:
    """Say whether the text of FILE is one that the grammar allows; if not, show its first wrong byte.

    Without FILE, or for a FILE of -, the text is read from stdin. One line end at the end of the text does not
    count. The exit code is 0 for a text that is allowed and 1 for one that is not.

    \b
    Examples:
      logitwire grammar check answer.json --schema person.schema.json
      printf '{"age": -1}' | logitwire grammar check --schema '{"properties": {"age": {"minimum": 0}}}'
      printf 'maybe' | logitwire grammar check --choice yes --choice no
    """
    text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    text = text.removesuffix(b"\n").removesuffix(b"\r")
    matcher = source.compile(bytes_vocab()).matcher()
    n_right = next((at for at, byte in enumerate(text) if not matcher.accept(byte)), len(text))
    if n_right == len(text) and matcher.is_accepting():
        click.echo(f"{len(text)} bytes, allowed")
        return
    name = "stdin" if file == "-" else file
    what = (
        "the text ends too early" if n_right == len(text) else f"{_shown(text[n_right : n_right + 1])} is not allowed"
    )
    begin = text.rfind(b"\n", 0, n_right) + 1
    line, column = text.count(b"\n", 0, n_right) + 1, len(text[begin:n_right].decode("utf-8", "replace")) + 1
    click.echo(f"{name}:{line}:{column}: {what} (byte {n_right})")
    for row in _caret(text, begin, n_right):
        click.echo(row)
    click.echo(f"expected: {_expected(matcher)}")
    raise click.exceptions.Exit(1)


def _caret(text: bytes, begin: int, at: int) -> tuple[str, str]:
    """The part of a line around a byte, and a caret under the byte."""
    from rich.cells import cell_len

    end = text.find(b"\n", at)
    before = terminal.printable(text[begin:at].decode("utf-8", "replace")).replace("\t", " ")
    after = terminal.printable(text[at : len(text) if end < 0 else end].decode("utf-8", "replace")).replace("\t", " ")
    lead = "" if len(before) <= SHOWN_WIDTH // 2 else "…"
    before = lead + before[-(SHOWN_WIDTH // 2) :]
    trail = "" if len(after) <= SHOWN_WIDTH // 2 else "…"
    return f"  {before}{after[: SHOWN_WIDTH // 2]}{trail}", f"  {' ' * cell_len(before)}^"


def _shown(content: bytes) -> str:
    return repr(content.decode()) if content.isascii() and content.decode().isprintable() else f"byte {content.hex()}"


def _expected(matcher: lw.Matcher) -> str:
    """What may come next, as runs of bytes."""
    allowed = matcher.allowed_tokens(limit=257) or []
    parts = []
    runs: list[list[int]] = []
    for token in allowed:
        if token != END and runs and token == runs[-1][-1] + 1 and token not in (0x20, 0x7F, 0x80):
            runs[-1].append(token)
        elif token != END:
            runs.append([token])
    for run in runs:
        ends = [_shown(bytes([run[0]]))] if len(run) == 1 else [_shown(bytes([run[0]])), _shown(bytes([run[-1]]))]
        parts.append(" to ".join(ends))
    return ", ".join([*parts, *(["the end"] if END in allowed else [])]) or "nothing"


@grammar.command()
@options.with_tokenizer
@with_source
def explain(tokenizer: str | None, source: Source) -> None:
    """Say what a grammar became: its values, what of it is not enforced, and how large it is.

    Without --tokenizer the vocabulary is the 256 bytes.

    \b
    Examples:
      logitwire grammar explain --schema person.schema.json
      logitwire grammar explain --schema person.schema.json --unsupported ignore --tokenizer tokenizer.json
    """
    vocab = bytes_vocab() if tokenizer is None else options.load_tokenizer(tokenizer).vocab
    compiled = source.compile(vocab)
    matcher = compiled.matcher()
    mask = np.zeros((len(vocab) + 31) // 32, np.int32)
    matcher.fill_mask(mask)
    click.echo(compiled.outline())
    forced = matcher.forced_bytes()
    if forced:
        click.echo(f"begins with   {_quoted(forced)}")
    click.echo(f"first tokens  {np.unpackbits(mask.view(np.uint8)).sum():,} of {len(vocab):,}")
    click.echo(f"memory        {compiled.memory_bytes:,} bytes")
    for note in compiled.relaxed:
        click.echo(f"relaxed       {note.pointer} {note.keyword}: {note.what}")
    if not compiled.relaxed:
        click.echo("relaxed       nothing")


@grammar.command()
@options.with_tokenizer
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many texts.")
@click.option("--seed", type=click.IntRange(min=0, max=2**64 - 1), help="The same seed gives the same texts.")
@click.option(
    "--length",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="Tokens after which a text is brought to its end.",
)
@with_source
def sample(tokenizer: str | None, count: int, seed: int | None, length: int, source: Source) -> None:
    """Write random texts that the grammar allows, one a line; one that has line ends of its own is quoted.

    They are drawn from masks alone, as from a model that knows nothing: to see what a grammar lets through, and to
    test what reads it. A text that finds no end is cut at ten times --length, said on stderr, and the exit code is 1.

    \b
    Examples:
      logitwire grammar sample --schema person.schema.json --whitespace compact --count 5
      logitwire grammar sample --regex "[a-z]{3}-[0-9]{2}" --seed 7
      logitwire grammar sample --json object --tokenizer tokenizer.json
    """
    vocab = bytes_vocab() if tokenizer is None else options.load_tokenizer(tokenizer).vocab
    compiled = source.compile(vocab)
    rng = np.random.default_rng(seed)
    weights = np.array([_weight(vocab, token) for token in range(len(vocab))])
    closing = np.array([_closes(vocab, token) for token in range(len(vocab))])
    n_cut = 0
    for _ in range(count):
        text, is_whole = _sample(compiled, vocab, rng, weights, closing, length)
        n_cut += not is_whole
        written = text.decode("utf-8", "replace")
        terminal.write((_quoted(text) if len(written.splitlines()) > 1 else written) + "\n")
    if n_cut:
        print(f"{n_cut} of {count} texts found no end within {10 * length} tokens", file=sys.stderr)
        raise click.exceptions.Exit(1)


def _sample(
    compiled: lw.Grammar, vocab: lw.Vocab, rng: np.random.Generator, weights: Any, closing: Any, length: int
) -> tuple[bytes, bool]:
    matcher = compiled.matcher(continuation=True)
    mask = np.zeros((len(vocab) + 31) // 32, np.int32)
    text = b""
    for n in range(10 * length):
        if matcher.is_complete():
            return text, True
        matcher.fill_mask(mask)
        bits = np.unpackbits(mask.view(np.uint8), count=len(vocab), bitorder="little")
        # Past its length, a text takes whatever brings it nearer to its end.
        drawn = bits * (weights if n < length else np.where(closing, 1e6, weights))
        if not drawn.any():
            break
        token = int(rng.choice(len(vocab), p=drawn / drawn.sum()))
        matcher.accept(token)
        if matcher.is_terminated():
            return text, True
        text += vocab.token_bytes(token)
    return text, matcher.is_accepting()


def _weight(vocab: lw.Vocab, token: int) -> float:
    """What a text is likelier to be of: letters and digits, and of everything else a little."""
    if token in vocab.eos_ids:
        return 3.0
    content = _content(vocab, token)
    if content.isascii() and content.isalnum():
        return 1.0
    return 0.2 if content.isascii() and content.decode().isprintable() and content.strip() else 0.002


def _closes(vocab: lw.Vocab, token: int) -> bool:
    return token in vocab.eos_ids or _content(vocab, token) in (b'"', b"}", b"]")


def _content(vocab: lw.Vocab, token: int) -> bytes:
    try:
        return vocab.token_bytes(token)
    except lw.TokenIdError:
        return b""


def _quoted(text: bytes) -> str:
    return json.dumps(text.decode("utf-8", "replace"), ensure_ascii=False)
