"""Awkward text: thousands of strings that break tokenizers, the same ones every time.

Real text in a hundred languages and every emoji sequence come out of packages (`vocabularies.path`), what is written by
hand out of `vectors/awkward.json`, and the rest is drawn from a seed. It knows of no tokenizer: texts that hold a
vocabulary's own special tokens are its test's affair.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import vocabularies

CATALOGUE = re.compile(r"django/conf/locale/(\w+)/LC_MESSAGES/django\.po")
TRANSLATION = re.compile(r'^msgstr(?:\[\d\])? ((?:".*"\n?)+)', re.MULTILINE)

AWKWARD: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "awkward.json").read_text())
# Of each plane, with holes, private use, and code points newer than most tokenizers' Unicode.
BLOCKS = [(int(low, 16), int(high, 16)) for low, high in (block.split("-") for block in AWKWARD["blocks"])]
KINDS = "contractions digits punctuation code lookalikes controls spaces spaces words words".split()
POOL = [piece for kind in KINDS for piece in AWKWARD[kind]]


@cache
def languages() -> dict[str, str]:
    """The code of a language to real text in it: sentences and labels, one a line."""
    texts = {}
    with zipfile.ZipFile(vocabularies.path("django.whl")) as archive:
        for name in sorted(archive.namelist()):
            if match := CATALOGUE.fullmatch(name):
                catalogue = archive.read(name).decode()
                found = ["".join(json.loads(line) for line in t.splitlines()) for t in TRANSLATION.findall(catalogue)]
                text = "\n".join(filter(None, found[1:]))  # the first describes the catalogue
                if text:
                    texts[match[1]] = text
    return texts | AWKWARD["scripts"]


@cache
def emoji() -> list[str]:
    """Every sequence of Unicode's emoji data: joined by U+200D, flags, skin tones, keycaps."""
    with zipfile.ZipFile(vocabularies.path("emoji.whl")) as archive:
        return sorted(json.loads(archive.read("emoji/unicode_codes/emoji.json")))


def code_points(rng: random.Random) -> str:
    blocks = BLOCKS if rng.random() < 0.2 else [rng.choice(BLOCKS)]
    points = [rng.randint(*rng.choice(blocks)) for _ in range(rng.randint(1, 24))]
    return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)


def cut(rng: random.Random, text: str, longest: int = 240) -> str:
    """A piece of a text, cut between any two code points."""
    start = rng.randrange(len(text))
    return text[start : start + rng.randint(1, longest)]


def mixture(rng: random.Random) -> str:
    return "".join(rng.choice(POOL) for _ in range(rng.randint(1, 14)))


def emoji_run(rng: random.Random) -> str:
    run = rng.choice(["", "", " ", "x", "\u200d"]).join(rng.choice(emoji()) for _ in range(rng.randint(1, 8)))
    return cut(rng, run, 40) if rng.random() < 0.5 else run


def in_language(rng: random.Random) -> str:
    texts = languages()
    text = cut(rng, texts[rng.choice(sorted(texts))])
    return unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC", "NFKD"]), text) if rng.random() < 0.25 else text


def spoiled(rng: random.Random) -> str:
    """Real text with something put into the middle of it."""
    text = in_language(rng)
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(POOL) + text[at:]


def plain() -> list[str]:
    """Everything written by hand, each alone and with a space before and after it."""
    pieces = [*AWKWARD["cases"], *POOL, *emoji()[::40], *languages().values()]
    pieces = [piece[:400] for piece in dict.fromkeys(pieces)]
    return ["", *pieces, *(" " + piece for piece in pieces), *(piece + " " for piece in pieces)]


@cache
def texts(n: int, seed: int = 0) -> list[str]:
    """`n` different strings: those of `plain`, then drawn ones."""
    rng = random.Random(seed)
    found = dict.fromkeys(plain()[:n])
    while len(found) < n:
        draw = rng.choice([in_language, in_language, mixture, mixture, spoiled, emoji_run, code_points])
        found[draw(rng)] = None
    return list(found)
