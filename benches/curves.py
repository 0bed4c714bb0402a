"""How time grows with length, as a plot and as a table: input, library, length: time each."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Curves: TypeAlias = dict[str, dict[int, float]]


def table(found: Curves, what: str) -> str:
    """Markdown; no figure where a library was not asked, or refused."""
    lines = [f"| {what} | " + " | ".join(found) + " |", "| ---: |" + " ---: |" * len(found)]
    for n in sorted({n for times in found.values() for n in times}):
        cells = [f"{times[n]:,.2f}" if n in times else "" for times in found.values()]
        lines.append(f"| {n:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(found: dict[str, Curves], path: Path, *, x: str, y: str) -> None:
    """Inputs are made to hurt, so the others are shown without their names."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "", "svg.fonttype": "none", "font.size": 9})
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(10, 4.2), sharey=True, layout="constrained")
    for axis, (name, libraries) in zip(axes, found.items(), strict=True):
        for library, times in libraries.items():
            ours = library.startswith("logitwire")
            style = {"label": library, "lw": 2.5} if ours else {"label": "others", "lw": 1, "color": "gray"}
            axis.plot(list(times), list(times.values()), marker="o", markersize=3, **style)
        axis.set(title=name, xlabel=x, xscale="log", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(y)
    handles, labels = axes[-1].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes[-1].legend(once.values(), once, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, metadata={"Date": None})


def write(
    measure: Callable[[], dict[str, Curves]], about: str | None, name: str, *, each: str, of: str, x: str, y: str
) -> None:
    """Measure; what was found goes into the folder of the command line, as JSON and as a plot, and to the terminal."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    found = measure()
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    for title, libraries in found.items():
        print(f"\n{title}: {each}\n\n{table(libraries, of)}")
    plot(found, folder / f"{name}.svg", x=x, y=y)
