"""The report's plots, drawn by matplotlib: as files of their own and inside the page.

Figures are made without pyplot, which keeps state and asks for a screen. Labels come from data, so
they are plain text to matplotlib (a `$` is no formula), short and printable.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grel.report import svg
from grel.report.runs import Curves, ReportError
from grel.scoring.calibration import Threshold
from grel.scoring.protocols import Counts

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# One color a role, told apart also by those who see few colors; the page has a variable for each.
COLORS = {
    "plot-ink": "#24292f",
    "plot-quiet": "#6e7781",
    "plot-grid": "#d8dee4",
    "plot-first": "#1f6feb",
    "plot-second": "#d4730c",
    "plot-third": "#2a9d66",
}
_INK, _QUIET, _GRID, *_SERIES = COLORS.values()
_STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.0,
    "text.color": _INK,
    "axes.labelcolor": _QUIET,
    "axes.edgecolor": _GRID,
    "axes.titlesize": 9.0,
    "axes.titlecolor": _INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _QUIET,
    "ytick.labelcolor": _QUIET,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
_WIDTH, _HEIGHT, _BAR = 7.2, 2.6, 0.26  # inches
_LONGEST_LABEL = 44

Groups = Mapping[str, Counts]


@dataclasses.dataclass(frozen=True)
class Plot:
    """A picture with a name for its files, a title and a sentence about it."""

    name: str
    title: str
    caption: str
    figure: Figure

    def inline(self) -> str:
        """The plot as an `<svg>` element for the page."""
        colors = {value: name for name, value in COLORS.items()}
        return svg.inline(self._bytes("svg"), self.name, self.title, colors)

    def write(self, folder: Path) -> None:
        """Writes `NAME.svg` and `NAME.png`; raises ReportError where that is impossible."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for kind in ("svg", "png"):
                (folder / f"{self.name}.{kind}").write_bytes(self._bytes(kind))
        except OSError as error:
            raise ReportError(f"{folder}: cannot write plots: {error.strerror}") from None

    def _bytes(self, kind: str) -> bytes:
        # Without a date and with fixed names, the same data gives the same bytes.
        metadata = {"Date": None} if kind == "svg" else {}
        self.figure.set_facecolor("none" if kind == "svg" else "white")
        file = io.BytesIO()
        with matplotlib.rc_context({**_STYLE, "svg.hashsalt": self.name}):
            self.figure.savefig(file, format=kind, dpi=144, metadata=metadata)
        return file.getvalue()


def training(curves: Mapping[str, Curves]) -> Plot:
    """Losses, and validation precision, recall and F1 over the steps, for each named system."""
    with matplotlib.rc_context(_STYLE):
        figure, (losses, scores) = _figure(2)
        for (system, of_system), line in zip(curves.items(), ("-", ":"), strict=False):
            suffix = f" ({label(system)})" if len(curves) > 1 else ""
            for split, color in (("train", _QUIET), ("validation", _SERIES[0])):
                _line(losses, of_system.get(split, {}).get("loss"), color, line, split + suffix)
            for metric, color in zip(("f1", "precision", "recall"), _SERIES, strict=True):
                points = of_system.get("validation", {}).get(metric)
                _line(scores, points, color, line, _METRICS[metric] + suffix)
        losses.set(title="loss", xlabel="step")
        scores.set(title="validation", xlabel="step", ylim=(0, 1))
        for axes in (losses, scores):
            if axes.lines:
                axes.legend(fontsize=8)
    caption = "Losses of training batches and of the validation split; scores of the latter."
    return Plot("training", "Training", caption, figure)


def thresholds(curves: Mapping[str, Sequence[Threshold]]) -> Plot:
    """Precision against recall, and both with F1 over the threshold, for each named system."""
    with matplotlib.rc_context(_STYLE):
        figure, (against, over) = _figure(2)
        for (system, curve), line, color in zip(
            curves.items(), ("-", ":"), _SERIES[:2], strict=False
        ):
            points = [(counts.recall, counts.precision) for _, counts in curve]
            _line(against, points, color, "-", label(system))
            against.plot(*points[0], marker="o", color=color, markersize=5)
            suffix = f" ({label(system)})" if len(curves) > 1 else ""
            for metric, shade in zip(("f1", "precision", "recall"), _SERIES, strict=True):
                values = [(score, getattr(counts, metric)) for score, counts in curve]
                _line(over, values, shade, line, _METRICS[metric] + suffix)
        against.set(title="precision over recall", xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        over.set(title="over the threshold", xlabel="least score kept", ylim=(0, 1.02))
        over.legend(fontsize=8)
        if len(curves) > 1:
            against.legend(fontsize=8)
    caption = "Only triples with at least a certain score are kept; the dot keeps all of them."
    return Plot("thresholds", "Precision and recall by score threshold", caption, figure)


def bars(name: str, title: str, caption: str, groups: Mapping[str, Groups]) -> Plot:
    """F1 of each class as bars, for each named system; the classes are those of the first."""
    systems = list(groups)
    classes = list(groups[systems[0]])
    with matplotlib.rc_context(_STYLE):
        height = 0.9 + _BAR * len(classes) * (1 + 0.6 * (len(systems) - 1))
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.subplots()
        thickness = 0.76 / len(systems)
        for index, (system, color) in enumerate(zip(systems, _SERIES, strict=False)):
            counts = [groups[system].get(c, Counts()) for c in classes]
            places = [
                place + thickness * (index - (len(systems) - 1) / 2)
                for place in range(len(classes))
            ]
            drawn = axes.barh(
                places, [c.f1 for c in counts], thickness, color=color, label=label(system)
            )
            texts = [f"{c.f1:.3f}" if c.gold or c.predicted else "–" for c in counts]
            axes.bar_label(drawn, texts, padding=3, fontsize=8, color=_INK)
        gold = [groups[systems[0]][c].gold for c in classes]
        ticks = [f"{label(c)}  ({n:,})" for c, n in zip(classes, gold, strict=True)]
        axes.set_yticks(range(len(classes)), ticks)
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        axes.grid(axis="y", visible=False)
        axes.set(xlim=(0, 1.08), xlabel="F1")
        axes.set_ylim(len(classes) - 0.4, -0.6)
        if len(systems) > 1:
            axes.legend(fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return Plot(name, title, caption, figure)


def label(text: str) -> str:
    """Text from data as it may stand in a picture: printable, on one line and not too long."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    # The end of a relation's name tells more than its beginning.
    return text if len(text) <= _LONGEST_LABEL else f"…{text[1 - _LONGEST_LABEL :]}"


_METRICS = {"f1": "F1", "precision": "precision", "recall": "recall"}


def _figure(num_panels: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    return figure, figure.subplots(1, num_panels)


def _line(
    axes: Axes,
    points: Sequence[tuple[float, float]] | None,
    color: str,
    line: str,
    label: str,
) -> None:
    if points:
        # A single point has no line, and would not be seen.
        marker = "o" if len(points) == 1 else None
        axes.plot(*zip(*points, strict=True), line, color=color, label=label, marker=marker)
