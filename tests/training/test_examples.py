"""What is told of the documents of a training run before its first step."""

import pytest

from grel.config import get_config
from grel.families.base import Trained
from grel.families.registry import FAMILIES
from grel.records import Document, Triple
from grel.training.examples import ExamplesError, prepare
from tests.families.test_base import TINY

GOOD = Document("1", "a b", (Triple("a", "born", "b"),))
OTHER = Document("2", "a b", (Triple("a", "lives", "b"),))
BARE = Document("3", "a b")
TRAINED = [name for name, family in FAMILIES.items() if issubclass(family, Trained)]


def _prepare(name, train, validation):
    config = get_config(name)
    config.update_from_flattened_dict(TINY[name])
    splits = {"train": train, "validation": validation}
    return prepare(FAMILIES[name].learn(config, splits), splits)


@pytest.mark.parametrize("name", TRAINED)
def test_relations_that_can_not_be_learned_are_told(name, caplog):
    _prepare(name, [GOOD, BARE], [GOOD])
    assert "relations" not in caplog.text
    _prepare(name, [GOOD, BARE], [GOOD, OTHER])
    assert "1 relations occur in validation only and can't be learned: lives" in caplog.text


@pytest.mark.parametrize("name", TRAINED)
def test_a_corpus_without_a_triple_is_refused(name):
    with pytest.raises(ExamplesError, match="none of the 1 training documents has a triple: there"):
        _prepare(name, [BARE], [GOOD])
