"""The plots: files of both kinds, the same bytes for the same data, labels that are mere text."""

import pytest

from grel.report import figures
from grel.report.runs import ReportError
from grel.scoring.calibration import Threshold
from grel.scoring.protocols import Counts

GROUPS = {"one": {"a": Counts(1, 2, 2), "$\\frac$ <b> \x00": Counts(), "c" * 99: Counts(3, 3, 4)}}


def _bars(groups=GROUPS):
    return figures.bars("bars", "Bars", "Of something.", groups)


def test_bars_are_as_long_as_f1():
    (axes,) = _bars().figure.axes
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == [0.5, 0.0, pytest.approx(6 / 7)]
    assert [text.get_text() for text in axes.texts] == ["0.500", "–", "0.857"]


def test_two_systems_have_a_bar_each_for_the_classes_of_the_first():
    groups = {"one": {"a": Counts(1, 1, 1), "b": Counts()}, "two": {"a": Counts(1, 2, 2)}}
    (axes,) = _bars(groups).figure.axes
    assert [patch.get_width() for patch in axes.patches] == [1.0, 0.0, 0.5, 0.0]


def test_labels_are_plain_short_text():
    text = _bars().inline()
    assert "$\\frac$ &lt;b&gt; \N{REPLACEMENT CHARACTER}" in text
    assert "…" + "c" * 43 in text
    assert "c" * 44 not in text


def test_curves_are_drawn_from_their_points():
    curves = {
        "train": {"loss": [(1, 2.0), (2, 1.0)]},
        "validation": {"f1": [(2, 0.5)], "precision": [(2, 0.25)]},
    }
    losses, scores = figures.training({"one": curves}).figure.axes
    assert [list(line.get_ydata()) for line in losses.lines] == [[2.0, 1.0]]
    assert [list(line.get_ydata()) for line in scores.lines] == [[0.5], [0.25]]
    # A line through one point would not be seen.
    assert scores.lines[0].get_marker() == "o"


def test_thresholds_draw_precision_over_recall():
    curve = [Threshold(0.2, Counts(1, 2, 2)), Threshold(0.9, Counts(1, 1, 2))]
    against, over = figures.thresholds({"one": curve}).figure.axes
    assert against.lines[0].get_xydata().tolist() == [[0.5, 0.5], [0.5, 1.0]]
    assert [line.get_label() for line in over.lines] == ["F1", "precision", "recall"]
    assert over.lines[1].get_xydata().tolist() == [[0.2, 0.5], [0.9, 1.0]]


def test_files_are_written_and_repeat(tmp_path):
    _bars().write(tmp_path / "new" / "folder")
    _bars().write(tmp_path / "again")
    for name, start in (("bars.svg", b"<?xml"), ("bars.png", b"\x89PNG")):
        data = (tmp_path / "new" / "folder" / name).read_bytes()
        assert data.startswith(start)
        assert data == (tmp_path / "again" / name).read_bytes()


def test_a_folder_that_cannot_be_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot write plots"):
        _bars().write(tmp_path / "file")
