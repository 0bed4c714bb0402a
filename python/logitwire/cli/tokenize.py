"""`logitwire tokenize`: what a text is to a model."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from logitwire.cli import options, terminal


@click.command()
@click.argument("text")
@options.with_model
@click.option("--ids", "only_ids", is_flag=True, help="Only the ids, on one line.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array of id, bytes (hexadecimal), text, special.")
@click.option("--offsets", "with_offsets", is_flag=True, help="Also where each token stands in TEXT: bytes, start:end.")
@click.option("--allow-special", is_flag=True, help="Read the text of a special token, as <|im_end|>, as that token.")
def tokenize(
    text: str, model: str, offline: bool, only_ids: bool, as_json: bool, with_offsets: bool, allow_special: bool
) -> None:
    """Show the tokens of TEXT: id, bytes in hexadecimal, text.

    A TEXT of - is read from stdin, without its last line end. In a pipe the columns are separated by tabs and
    the text is written as in JSON; a token that is no whole character has none. --model may also name a
    tokenizer.json.

    \b
    Examples:
      logitwire tokenize "Hello, wörld 🙂"
      logitwire tokenize "<|im_start|>user" --allow-special
      logitwire tokenize - --ids < book.txt | wc -w
      logitwire tokenize "naïve" --model tokenizer.json --json --offsets
    """
    if only_ids and as_json:
        raise click.UsageError("--ids and --json are two shapes of the output, and it has one")
    if only_ids and with_offsets:
        raise click.UsageError("--ids leaves no room for --offsets")
    text = options.text_of(text)
    tokenizer = options.load_tokenizer(model, offline=offline)
    ids, offsets = (
        tokenizer.encode_with_offsets(text, allow_special=allow_special)
        if with_offsets
        else (tokenizer.encode(text, allow_special=allow_special), None)
    )
    if only_ids:
        click.echo(" ".join(map(str, ids)))
        return
    rows = [(id, tokenizer.vocab.token_bytes(id), tokenizer.vocab.is_special(id)) for id in ids]
    if as_json:
        shown: list[dict[str, Any]] = [
            {"id": id, "bytes": b.hex(), "text": _text(b), "special": special} for id, b, special in rows
        ]
        for token, (start, end) in zip(shown, offsets or [], strict=False):
            token |= {"start": start, "end": end}
        click.echo(json.dumps(shown, ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(rows, offsets)
    else:
        for i, (id, content, _) in enumerate(rows):
            shown_text = _text(content)
            quoted = "" if shown_text is None else json.dumps(shown_text, ensure_ascii=False)
            place = "" if offsets is None else f"\t{offsets[i][0]}:{offsets[i][1]}"
            click.echo(f"{id}\t{content.hex()}\t{quoted}{place}")


def _text(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _table(rows: list[tuple[int, bytes, bool]], offsets: list[tuple[int, int]] | None) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("id", justify="right")
    table.add_column("bytes", style="dim")
    table.add_column("text")
    if offsets is not None:
        table.add_column("offsets", style="dim")
    for i, (id, content, special) in enumerate(rows):
        text = _text(content)
        shown = Text("part of a character", style="dim italic") if text is None else Text(terminal.printable(text))
        place = [] if offsets is None else [f"{offsets[i][0]}:{offsets[i][1]}"]
        table.add_row(str(id), content.hex(" "), shown, *place, style="magenta" if special else "")
    console = terminal.console(stderr=False)
    console.print(table)
    console.print(f"{len(rows)} tokens", style="dim")
