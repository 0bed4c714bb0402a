"""`logitwire generate`: one prompt, one answer, as it comes."""

from __future__ import annotations

import sys
import time

import click

from logitwire.cli import options, terminal


@click.command()
@click.argument("prompt")
@options.with_model
@click.option("--raw", is_flag=True, help="Feed the prompt as it is and go on from there: no chat template.")
@click.option("--system", metavar="TEXT", help="The system message.  [default: the template's own]")
@options.with_sampling
@click.option("--verbose", is_flag=True, help="Say at the end how many tokens, how fast, and with which seed.")
def generate(
    prompt: str,
    model: str,
    offline: bool,
    raw: bool,
    system: str | None,
    sampling: options.Sampling,
    verbose: bool,
) -> None:
    """Answer PROMPT on stdout, as it comes.

    A PROMPT of - is read from stdin, without its last line end. In a pipe the output is exactly the
    answer's text and one line end.

    \b
    Examples:
      logitwire generate "Name three colours."
      logitwire generate "The capital of France is" --raw --temperature 0
      logitwire generate "Write a haiku." --seed 7 --verbose
      logitwire generate - --system "Answer in one word." < question.txt > answer.txt
    """
    if raw and system is not None:
        raise click.UsageError("--system needs the chat template, which --raw leaves out")
    text = options.text_of(prompt)
    if not text:
        raise click.UsageError("PROMPT is empty")
    params = sampling.params()
    loaded = options.load_model(model, offline=offline)
    if raw:
        ids = loaded.tokenizer.encode(text)
    else:
        messages = [] if system is None else [{"role": "system", "content": system}]
        ids = options.chat_ids(loaded, [*messages, {"role": "user", "content": text}])

    started = time.perf_counter()
    first, n_tokens, reason = started, 0, None
    try:
        for piece in sampling.stream(loaded, ids, params, continuation=raw):
            if not n_tokens:
                first = time.perf_counter()
            n_tokens += len(piece.token_ids)
            reason = piece.finish_reason
            terminal.write(piece.text)
    except KeyboardInterrupt:
        terminal.write("\n")
        raise click.exceptions.Exit(130) from None
    terminal.write("\n")
    if verbose:
        ended = time.perf_counter()
        rate = f", {(n_tokens - 1) / (ended - first):.1f} tokens/s" if n_tokens > 1 else ""
        print(
            f"{len(ids)} prompt tokens in {first - started:.2f} s; {n_tokens} tokens{rate}; ended by {reason}; "
            f"seed {params.seed}",
            file=sys.stderr,
        )
