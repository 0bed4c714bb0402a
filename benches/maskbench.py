"""How fast masks are, and how right, on a folder of MaskBench cases: {schema, tests: [{data, valid}]} a file.

    python benches/maskbench.py FOLDER [--vocabulary llama-3] [--list NAMES] [--walks 2] [--every 1] [--reasons]

FOLDER may stand in LOGITWIRE_MASKBENCH. Every instance is read token by token, its mask made before each; a case is
right if all its instances are. A walk samples from nothing but masks, and the `jsonschema` library judges what comes
out. Times are the lesser of wall and CPU, through Python, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from grammar_support import bits, walk
from reference.json_schema import UnknownError, validator
from vocabulary import VOCABULARIES

import logitwire as lw
from logitwire import errors


def timed(into: list[int], call: Callable[..., Any], *arguments: Any) -> Any:
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    got = call(*arguments)
    into.append(min(time.perf_counter_ns() - wall, time.thread_time_ns() - cpu))
    return got


@dataclass
class Figures:
    compile_ns: list[int] = field(default_factory=list)
    first_mask_ns: list[int] = field(default_factory=list)
    mask_ns: list[int] = field(default_factory=list)
    accept_ns: list[int] = field(default_factory=list)
    walk_mask_ns: list[int] = field(default_factory=list)
    slowest: tuple[int, str] = (0, "")
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def run(case: dict[str, Any], name: str, tokenizer: lw.Tokenizer, n_walks: int, figures: Figures) -> None:
    schema, counts = json.dumps(case["schema"]), figures.counts
    vocab = tokenizer.vocab
    mask = np.zeros((1, (len(vocab) + 31) // 32), np.int32)
    try:
        grammar = timed(figures.compile_ns, lw.Grammar.json_schema, tokenizer, schema)
    except (errors.SchemaError, errors.LimitError) as error:
        figures.refused[name] = str(error)
        return
    timed(figures.first_mask_ns, grammar.matcher().fill_mask, mask)
    counts["compiled"] += 1
    is_right = True
    for test in case["tests"]:
        matcher, is_read = grammar.matcher(), True
        for token_id in tokenizer.encode(json.dumps(test["data"], ensure_ascii=False), add_special_tokens=False):
            timed(figures.mask_ns, matcher.fill_mask, mask)
            figures.slowest = max(figures.slowest, (figures.mask_ns[-1], name))
            is_allowed = mask[0, token_id >> 5] >> (token_id & 31) & 1
            is_read = timed(figures.accept_ns, matcher.accept, token_id)
            if is_read != bool(is_allowed):
                figures.faults.append(f"{name}: mask and accept disagree on token {token_id}")
            if not is_read:
                break
        is_read = is_read and matcher.is_accepting()
        if is_read != test["valid"]:
            is_right = False
            counts["accepted wrongly" if is_read else "rejected wrongly"] += 1
            figures.faults.append(
                f"{name}: {'accepted' if is_read else 'rejected'} wrongly: {test['description'][:80]}"
            )
    counts["right"] += is_right
    judge, rng = validator(schema), random.Random(name)
    for _ in range(n_walks):
        text = walk(
            grammar,
            rng,
            vocab=vocab,
            length=100,
            every=lambda matcher: timed(figures.walk_mask_ns, bits, matcher, vocab),
        )
        counts["walks"] += 1
        if text is None:
            continue
        counts["walks done"] += 1
        try:
            is_valid = judge(text)
        except UnknownError:
            counts["walks not judged"] += 1
            continue
        if not is_valid:
            counts["walks bad"] += 1
            figures.faults.append(f"{name}: a walk came to {text[:200]!r}")


def percentiles(times_ns: list[int], unit_ns: float, shares: list[float]) -> list[str]:
    if not times_ns:
        return ["-" for _ in shares]
    return [f"{float(np.quantile(times_ns, share)) / unit_ns:,.2f}" for share in shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("LOGITWIRE_MASKBENCH"))
    parser.add_argument("--vocabulary", default="llama-3", choices=list(VOCABULARIES))
    parser.add_argument("--list", help="a file of the names of cases")
    parser.add_argument("--walks", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="only every so many cases")
    parser.add_argument("--reasons", action="store_true", help="say why each schema was refused")
    options = parser.parse_args()
    if options.folder is None:
        parser.error("which folder? LOGITWIRE_MASKBENCH names none")
    folder = Path(options.folder)
    names = Path(options.list).read_text().split() if options.list else sorted(p.name for p in folder.glob("*.json"))
    tokenizer, figures = VOCABULARIES[options.vocabulary].ours, Figures()
    lw.Grammar.json(tokenizer).matcher()  # The index of the vocabulary is made once.
    for name in names[:: options.every]:
        run(json.loads((folder / name).read_text("utf-8")), name, tokenizer, options.walks, figures)
    print(f"\n{options.vocabulary}, {len(tokenizer.vocab):,} tokens, {len(names[:: options.every])} schemas\n")
    for what in ("compiled", "right", "accepted wrongly", "rejected wrongly", "walks", "walks done", "walks bad"):
        print(f"| {what} | {figures.counts[what]} |")
    shares = [0.5, 0.9, 0.99, 0.999, 1.0]
    print("\n| | p50 | p90 | p99 | p99.9 | max |\n| --- | --- | --- | --- | --- | --- |")
    rows = [("mask, us", figures.mask_ns, 1e3), ("accept, us", figures.accept_ns, 1e3)]
    rows += [("walk's mask, us", figures.walk_mask_ns, 1e3)]
    rows += [("compile, ms", figures.compile_ns, 1e6), ("first mask, ms", figures.first_mask_ns, 1e6)]
    for title, times_ns, unit_ns in rows:
        print(f"| {title} | {' | '.join(percentiles(times_ns, unit_ns, shares))} |")
    print(f"\nslowest mask: {figures.slowest[0] / 1e3:,.1f} us, {figures.slowest[1]}")
    for fault in figures.faults:
        print(fault)
    for reason, n in Counter(reason.split(":")[0].split(", ")[-1] for reason in figures.refused.values()).most_common():
        print(f"refused {n:4}: {reason}")
    if options.reasons:
        for name, reason in figures.refused.items():
            print(f"{name}: {reason}")


if __name__ == "__main__":
    main()
