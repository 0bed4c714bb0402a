"""`logitwire` itself: what it says of itself, and the list of its commands."""

from __future__ import annotations

import click

import logitwire as lw
from logitwire.cli.chat import chat
from logitwire.cli.doctor import doctor
from logitwire.cli.generate import generate
from logitwire.cli.grammar import grammar
from logitwire.cli.pull import pull
from logitwire.cli.serve import serve
from logitwire.cli.sse import sse
from logitwire.cli.tokenize import tokenize


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(lw.__version__, message="logitwire %(version)s")
def group() -> None:
    """Everything between the logits and the wire of a language model.

    \b
    Try it; a small model is fetched once and works offline ever after:
      logitwire generate "Why is the sky blue?"
      logitwire chat
      logitwire serve

    Answers go to stdout, everything about them to stderr. LOGITWIRE_CACHE moves the folder of models,
    LOGITWIRE_OFFLINE=1 forbids the network, LOGITWIRE_DEBUG=1 shows the traceback of an error.
    """


for command in (generate, chat, serve, tokenize, grammar, sse, pull, doctor):
    group.add_command(command)
