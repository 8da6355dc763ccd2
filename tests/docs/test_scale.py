"""docs/SCALE.md: the figures are those of its script."""

from tests import scale


def test_the_figures_of_scale_are_those_of_its_script():
    page = scale.PAGE.read_text()
    assert scale.filled(page, scale.tables(scale.Assumed())) == page
