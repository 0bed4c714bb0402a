"""How time grows with length, as a plot and as a table: input, library, length: time each."""

from __future__ import annotations

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
