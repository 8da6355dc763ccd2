"""docs/EXTRACTION.md: the values of decoding are the code's."""

import re
from pathlib import Path

from grel.config import get_config
from grel.decoding import copying

EXTRACTION = (Path(__file__).parents[2] / "docs" / "EXTRACTION.md").read_text()


def test_the_values_of_decoding_begin_with_the_default():
    table = EXTRACTION.partition("`--config.decoding.`")[2]
    rows = dict(re.findall(r"^\| `(\w+)=([^`]+)` \|", table, re.MULTILINE))
    decoding = get_config().decoding
    assert len(rows) > 7
    for name, values in rows.items():
        first, *others = values.split("\\|")
        assert first == str(decoding[name]).removesuffix(".0"), name
        assert not others or {first, *others} == set(copying.CHOICES[name]), name
