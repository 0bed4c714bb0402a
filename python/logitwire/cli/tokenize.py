"""`logitwire tokenize`: what a text is to a model."""

from __future__ import annotations

import json
import mmap
import sys
from pathlib import Path

import click

import logitwire as lw
from logitwire import pull
from logitwire.cli import options, terminal


@click.command()
@click.argument("text")
@options.with_model
@click.option("--ids", "shape", flag_value="ids", help="Only the ids, on one line.")
@click.option("--json", "shape", flag_value="json", help="A JSON array of id, bytes (hexadecimal), text, special.")
@click.option("--allow-special", is_flag=True, help="Read the text of a special token, as <|im_end|>, as that token.")
def tokenize(text: str, model: str, offline: bool, shape: str | None, allow_special: bool) -> None:
    """Show the tokens of TEXT: id, bytes in hexadecimal, text.

    A TEXT of - is read from stdin, without its last line end. In a pipe the columns are separated by tabs and
    the text is written as in JSON; a token that is no whole character has none. --model may also name a
    tokenizer.json.

    \b
    Examples:
      logitwire tokenize "Hello, wörld 🙂"
      logitwire tokenize "<|im_start|>user" --allow-special
      logitwire tokenize - --ids < book.txt | wc -w
      logitwire tokenize "naïve" --model tokenizer.json --json
    """
    text = options.text_of(text)
    tokenizer = _tokenizer(model, offline=offline)
    ids = tokenizer.encode(text, allow_special=allow_special)
    if shape == "ids":
        click.echo(" ".join(map(str, ids)))
        return
    rows = [(id, tokenizer.vocab.token_bytes(id), tokenizer.vocab.is_special(id)) for id in ids]
    if shape == "json":
        shown = [{"id": id, "bytes": b.hex(), "text": _text(b), "special": special} for id, b, special in rows]
        click.echo(json.dumps(shown, ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(rows)
    else:
        for id, content, _ in rows:
            shown_text = _text(content)
            quoted = "" if shown_text is None else json.dumps(shown_text, ensure_ascii=False)
            click.echo(f"{id}\t{content.hex()}\t{quoted}")


def _tokenizer(name: str, *, offline: bool) -> lw.Tokenizer:
    """That of a model, without the model's weights."""
    if name.endswith(".json"):
        return lw.Tokenizer.from_json(Path(name).read_bytes())
    if name in pull.MODELS:
        options.fetch_model(name, offline=offline)
        path = pull.model_path(name)
    else:
        path = Path(name)
    with path.open("rb") as file:
        is_empty = file.seek(0, 2) == 0  # which cannot be mapped
        return lw.Tokenizer.from_gguf(
            lw.Gguf(b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        )


def _text(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _table(rows: list[tuple[int, bytes, bool]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("id", justify="right")
    table.add_column("bytes", style="dim")
    table.add_column("text")
    for id, content, special in rows:
        text = _text(content)
        shown = Text("part of a character", style="dim italic") if text is None else Text(terminal.printable(text))
        table.add_row(str(id), content.hex(" "), shown, style="magenta" if special else "")
    console = terminal.console(stderr=False)
    console.print(table)
    console.print(f"{len(rows)} tokens", style="dim")
