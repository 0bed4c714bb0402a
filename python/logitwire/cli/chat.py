"""`logitwire chat`: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

import click

from logitwire.cli import complain, options, terminal
from logitwire.errors import LogitwireError, ParameterError

HELP = """\
/reset   forget the conversation
/exit    leave, as Ctrl-D does
/help    this
Ctrl-C ends an answer; at the prompt it leaves."""


class Conversation:
    """The messages so far, of which the oldest go when the model's context is full."""

    def __init__(self, model: Any, system: str | None) -> None:
        self.model = model
        self.system = [] if system is None else [{"role": "system", "content": system}]
        self.turns: list[dict[str, str]] = []

    def ids(self, turns: list[dict[str, str]]) -> list[int]:
        return options.chat_ids(self.model, [*self.system, *turns])

    def ask(self, text: str, *, max_tokens: int) -> tuple[list[int], int]:
        """Add the user's turn. Returns the prompt's ids, and how many of the oldest went to make room.

        Raises ParameterError, and leaves the conversation as it was, if not even this turn alone fits.
        """
        turns = [*self.turns, {"role": "user", "content": text}]
        context = self.model.context_length
        while True:
            ids = self.ids(turns)
            if context is None or len(ids) + max_tokens <= context:
                break
            if len(turns) == 1:
                if len(ids) < context:
                    break
                raise ParameterError(
                    f"the message makes {len(ids):,} tokens, and {self.model.name} holds {context:,}",
                    field="prompt",
                    hint="say it in parts",
                )
            turns = turns[1:]
            while turns[0]["role"] == "assistant":  # an answer does not stay without its question
                turns = turns[1:]
        n_forgotten = len(self.turns) + 1 - len(turns)
        self.turns = turns
        return ids, n_forgotten


@click.command()
@options.with_model
@click.option("--system", metavar="TEXT", help="The system message.  [default: the template's own]")
@options.with_sampling
def chat(model: str, offline: bool, system: str | None, sampling: options.Sampling) -> None:
    """Talk with a model; it remembers what was said.

    A line is a message. /reset forgets the conversation, /help lists what else there is, Ctrl-D leaves. When
    the conversation outgrows the model's context, the oldest messages are forgotten, and it says so.

    \b
    Examples:
      logitwire chat
      logitwire chat --system "You are a pirate." --temperature 1
      logitwire chat --model ~/models/llama.gguf
      printf 'My name is Ada.\\nWhat is my name?\\n' | logitwire chat
    """
    sampling.params()  # out of range is said before a model is loaded
    conversation = Conversation(options.load_model(model, offline=offline), system)
    conversation.ids([{"role": "user", "content": "?"}])  # as is a model that cannot hold one
    by_hand = sys.stdin.isatty() and sys.stdout.isatty()
    if by_hand:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  editing and history at the prompt
        terminal.note(f"{conversation.model.name}. Ctrl-C ends an answer, Ctrl-D leaves, /help says more.")
    while True:
        try:
            line = input("> " if by_hand else "").strip()
        except EOFError:
            terminal.write("\n" if by_hand else "")
            return
        if line == "/exit":
            return
        if line == "/reset":
            conversation.turns.clear()
            terminal.note("forgotten")
        elif line == "/help":
            print(HELP, file=sys.stderr)
        elif re.fullmatch(r"/\w+", line):
            print(f"there is no {line}; /help lists what there is", file=sys.stderr)
        elif line:
            try:
                _answer(conversation, line, sampling)
            except LogitwireError as error:
                if not by_hand:
                    raise
                complain(error)
            except KeyboardInterrupt:
                if not by_hand:
                    raise
            if by_hand:
                terminal.write("\n")


def _answer(conversation: Conversation, line: str, sampling: options.Sampling) -> None:
    ids, n_forgotten = conversation.ask(line, max_tokens=sampling.max_tokens)
    if n_forgotten:
        terminal.note(f"the context is full: the {n_forgotten} oldest messages are forgotten")
    said = ""
    try:
        for piece in sampling.stream(conversation.model, ids, sampling.params()):
            said += piece.text
            terminal.write(piece.text)
    finally:
        if said:
            conversation.turns.append({"role": "assistant", "content": said})
            terminal.write("\n")
        else:
            conversation.turns.pop()  # without an answer it was not asked
