"""Writes the figures of `make figures` into docs/benchmarks.md, between the marks that name them.

    python benches/report.py FOLDER DOCS

Times stand under the name of the library. Whether all the text or ids were right, and times of input made to hurt,
stand under ours, and of the others together: what another project's software does to such is for its own tracker, and
every reader can run `make bench`.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

DECODERS = {
    "gpt-2": "GPT-2",
    "llama-3": "Llama 3",
    "mistral-v1": "Mistral v1",
    "xlm-r": "XLM-R",
    "bert": "BERT",
}
ENCODERS = {"llama-3": "Llama 3", "qwen": "Qwen", "o200k": "o200k", "smollm2": "SmolLM2", "mistral-v1": "Mistral v1"}
TEXTS = ["English", "code", "Chinese", "emoji", "mixture"]


class Figures:
    """The benchmarks of one file."""

    def __init__(self, path: Path) -> None:
        self.whole = json.loads(path.read_text())
        self.found = {}
        for benchmark in self.whole["benchmarks"]:
            test, params = benchmark["name"].partition("[")[0], benchmark["params"] or {}
            if "chunk_bytes" in params:
                params = params | {"case": f"{params['case']}, {params['chunk_bytes']}"}
            key = (test, *(params.get(name) for name in ("library", "vocabulary", "case")))
            self.found[key] = benchmark["extra_info"]

    def libraries(self, test: str) -> dict[str, str]:
        """By the name in the code, what is shown: with the version. In the order of the code."""
        return {key[1]: extra["library"] for key, extra in self.found.items() if key[0] == test and key[1]}

    def get(self, test: str, library: str | None, vocabulary: str | None, case: str | None) -> dict[str, Any] | None:
        return self.found.get((test, library, vocabulary, case))


def table(head: Iterable[str], rows: Iterable[list[str]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def number(value: float) -> str:
    """Two or three digits that say something."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{digits}f}"


def us(extra: dict[str, Any] | None) -> str:
    return "" if extra is None else number(extra["us_each"])


def mb_s(extra: dict[str, Any] | None) -> str:
    """Millions of whatever was counted, a second."""
    return "" if extra is None else number(1 / extra["us_each"])


Case: TypeAlias = tuple[str | None, str | None]
"""Vocabulary, case."""


def of_libraries(figures: Figures, test: str, columns: dict[str, Case], cell: Callable[..., str]) -> str:
    rows = [
        [shown, *(cell(figures.get(test, library, *column)) for column in columns.values())]
        for library, shown in figures.libraries(test).items()
    ]
    return table(["", *columns], [row for row in rows if any(row[1:])])


def together(of: dict[str, dict[str, float]], columns: Iterable[str]) -> str:
    """Of library and column: ours, and the least and the most of the others."""
    rows = []
    others = ["the others"]
    for library, found in of.items():
        if library.startswith("logitwire"):
            rows.append([library, *(number(found[column]) if column in found else "" for column in columns)])
    for column in columns:
        theirs = [
            of[library][column] for library in of if not library.startswith("logitwire") and column in of[library]
        ]
        others.append(f"{number(min(theirs))} to {number(max(theirs))}" if theirs else "")
    return table(["", *columns], [*rows, others])


def hostile(figures: Figures, test: str, columns: dict[str, Case], value: Callable[..., float]) -> str:
    of = {
        shown: {name: value(extra) for name, case in columns.items() if (extra := figures.get(test, library, *case))}
        for library, shown in figures.libraries(test).items()
    }
    return together(of, list(columns))


def correctness(figures: Figures, test: str, columns: dict[str, list[Case]]) -> str:
    """How many of a column's cases are right: ours, and the least and the most of the others that do as many."""

    def right(library: str, cases: list[Case]) -> tuple[int, int]:
        found = [extra for case in cases if (extra := figures.get(test, library, *case))]
        return sum(extra["correct"] for extra in found), len(found)

    libraries = list(figures.libraries(test))
    rows = []
    for library in libraries:
        if library.startswith("logitwire"):
            counts = [right(library, cases) for cases in columns.values()]
            rows.append([library, *(f"{n} of {of}" for n, of in counts)])
    others = ["the others"]
    for cases, (_, most) in zip(columns.values(), counts, strict=True):
        found = [right(library, cases) for library in libraries if not library.startswith("logitwire")]
        whole = [n for n, of in found if of == most]
        others.append(f"{min(whole)} to {max(whole)} of {most}" if whole else "")
    return table(["", *columns], [*rows, others])


def detokenize(figures: Figures) -> dict[str, str]:
    by_vocabulary: dict[str, Case] = {
        f"{shown}, {case}": (vocabulary, case)
        for vocabulary, shown in DECODERS.items()
        for case in ("English", "mixture")
    }
    cases = ["English", "mixture", "random ids", "lone bytes", "skipped specials"]
    begins: dict[str, Case] = {shown: (vocabulary, None) for vocabulary, shown in DECODERS.items()}
    in_one_call = [
        [shown, us(figures.get("test_64_streams_in_one_call", None, *column))]
        for shown, column in by_vocabulary.items()
    ]
    return {
        "one stream": of_libraries(figures, "test_one_stream", by_vocabulary, us),
        "64 streams": of_libraries(figures, "test_64_streams", by_vocabulary, us),
        "64 streams in one call": table(["", "us a token"], [row for row in in_one_call if row[1]]),
        "begin": of_libraries(figures, "test_begin", begins, us),
        "right text": correctness(
            figures, "test_one_stream", {case: [(vocabulary, case) for vocabulary in DECODERS] for case in cases}
        ),
    }


def stop(figures: Figures) -> dict[str, str]:
    cases: dict[str, Case] = {name: (None, name) for name in ("one", "four", "frequent letters", "sixteen long")}
    made: dict[str, Case] = {name: (None, name) for name in ("sixteen of 1,000", "keeps beginning", "worst")}
    vocabularies: dict[str, Case] = {DECODERS[name]: (name, None) for name in ("llama-3", "mistral-v1")}
    return {
        "stop": of_libraries(figures, "test_stop", cases, us),
        "stop made to hurt": hostile(figures, "test_stop", made, lambda extra: extra["us_each"]),
        "held": of_libraries(figures, "test_stop", cases, lambda extra: "" if extra is None else str(extra["held"])),
        "held made to hurt": hostile(figures, "test_stop", made, lambda extra: extra["held"]),
        "detokenize and stop": of_libraries(figures, "test_detokenize_and_stop", vocabularies, us),
    }


def tokenize(figures: Figures) -> dict[str, str]:
    prompts = {text: (None, f"{text} prompts") for text in TEXTS}
    found = {
        f"prompts {vocabulary}": of_libraries(
            figures, "test_encode", {text: (vocabulary, case) for text, (_, case) in prompts.items()}, mb_s
        )
        for vocabulary in ENCODERS
    }
    shown: dict[str, Case] = {name: (vocabulary, None) for vocabulary, name in ENCODERS.items()}
    pages: dict[str, Case] = {name: (vocabulary, "English page") for name, (vocabulary, _) in shown.items()}
    return {
        **found,
        "page": of_libraries(figures, "test_encode", pages, mb_s),
        "batch": of_libraries(figures, "test_encode_batch", shown, mb_s),
        "right ids": correctness(
            figures,
            "test_encode",
            {name: [(vocabulary, case) for _, case in prompts.values()] for vocabulary, name in ENCODERS.items()},
        ),
    }


CHUNKS = {"1 B": 1, "16 B": 16, "256 B": 256, "1 KiB": 1024, "64 KiB": 65_536}
STREAMS = "chat", "short", "fields, CR LF"
LONG = "one line of 1 MB", "one event of 20,000 lines"


def sse(figures: Figures) -> dict[str, str]:
    texts: dict[str, Case] = {
        text: (None, text) for text in ("English", "Chinese", "quotes, newlines", "400 characters")
    }
    many = ["logitwire, 64 a call", *(mb_s(figures.get("test_frame_many", None, *case)) for case in texts.values())]
    return {
        "sse chunks": of_libraries(
            figures, "test_parse", {name: (None, f"chat, {n}") for name, n in CHUNKS.items()}, mb_s
        ),
        "sse streams": of_libraries(figures, "test_parse", {name: (None, f"{name}, 1024") for name in STREAMS}, mb_s),
        "sse long": hostile(
            figures, "test_parse", {name: (None, f"{name}, 1024") for name in LONG}, lambda extra: 1 / extra["us_each"]
        ),
        "sse right": correctness(
            figures,
            "test_parse",
            {name: [(None, f"{name}, {n}") for n in CHUNKS.values()] for name in (*STREAMS, *LONG)},
        ),
        "sse frames": of_libraries(figures, "test_frame", texts, mb_s) + "\n| " + " | ".join(many) + " |",
    }


def growth(path: Path) -> dict[str, str]:
    found = json.loads(path.read_text())
    tables = {}
    for name, libraries in found.items():
        lengths = sorted({int(n) for times in libraries.values() for n in times})
        of = {library: {f"{int(n):,}": us for n, us in times.items()} for library, times in libraries.items()}
        tables[f"growth {name}"] = together(of, [f"{n:,}" for n in lengths])
    return tables


def machine(figures: Figures) -> str:
    about = figures.whole["machine_info"]
    cpu = about["cpu"]
    return (
        f"{cpu['brand_raw']}, {cpu['count']} cores, {about['system']}; CPython {about['python']}; "
        f"{figures.whole['datetime'][:10]}."
    )


def fill(page: str, found: dict[str, str]) -> str:
    def filled(mark: re.Match[str]) -> str:
        return f"{mark[1]}\n{found[mark[2]]}\n{mark[3]}"

    return re.sub(r"(<!-- figures: (.+?) -->)\n.*?(<!-- end -->)", filled, page, flags=re.DOTALL)


def main() -> None:
    folder, docs = map(Path, sys.argv[1:])
    files = {noun: Figures(folder / f"{noun}.json") for noun in ("detokenize", "stop", "tokenize", "sse")}
    found = {
        "machine": machine(files["detokenize"]),
        **detokenize(files["detokenize"]),
        **stop(files["stop"]),
        **tokenize(files["tokenize"]),
        **sse(files["sse"]),
        **growth(folder / "growth.json"),
        **growth(folder / "growth_sse.json"),
    }
    page = docs / "benchmarks.md"
    page.write_text(fill(page.read_text(), found))
    for name in ("growth.svg", "growth_sse.svg"):
        shutil.copyfile(folder / name, docs / name)


if __name__ == "__main__":
    main()
