"""What systems are called: after the paper, or after the folders of their runs; which are one."""

import pytest

from grel import config as config_lib
from grel import recipes
from grel.runs import record
from grel.runs.evaluations import Evaluation
from grel.scoring.corpus import CorpusStatistics
from grel.tables import published
from grel.tables.systems import paper_name, read_systems
from tests.evaluated import write_evaluation

PTDEC = {"family": "ptdec"}


def _names(*paths):
    systems = read_systems(paths, "test", "exact", {})
    return {name: [run.name for run in runs] for name, runs in systems.items()}


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("lookup.py", "look-up"),
        ("paper.py:copyre-jsonl", "CopyRE-multi"),
        ("paper.py:copyre_one-jsonl", "CopyRE-one"),
        ("paper.py:copymtl-jsonl", "CopyMTL-multi"),
        ("paper.py:copymtl_one-jsonl-small", "CopyMTL-one"),
        ("paper.py:mrmep-jsonl", "MrMep"),
        ("paper.py:ptdec-jsonl-small", "PtDec"),
        ("paper.py:worddec-jsonl", "WordDec"),
        ("paper.py:lstm-jsonl", "LSTM"),
        ("paper.py:lstm_copy-jsonl", "LSTM + copy"),
        ("unilm.py:base-nyt24", "Pretrained + copy"),
        ("minilm.py", "Pretrained + copy"),
        ("mpnet.py", "Pretrained + copy"),
        ("bert.py:nyt24", None),
    ],
)
def test_recipes_of_the_papers_systems_have_its_names(tmp_path, recipe, name):
    config = recipes.load(f"configs/{recipe}")
    run = Evaluation(tmp_path, "run", {"config": config.to_dict()}, "exact")
    assert paper_name(run) == name
    if name == "Pretrained + copy":
        config.decoding.copy = "off"
        run = Evaluation(tmp_path, "run", {"config": config.to_dict()}, "exact")
        assert paper_name(run) == "Pretrained"


def test_every_published_system_is_one_that_a_run_can_be(tmp_path):
    found = set()
    for family in ("copyre", "copymtl", "mrmep", "ptdec", "worddec", "bert"):
        for copy in ("words", "off", "on"):
            config = config_lib.get_config(family).to_dict()
            config["decoding"]["copy"] = copy
            config["model"] |= {"init_from": "weights", "label_head": copy == "on"}
            found.add(paper_name(Evaluation(tmp_path, "run", {"config": config}, "exact")))
    assert found >= published.SCORES.keys()


def test_runs_that_differ_in_the_seed_alone_are_one_system(tmp_path):
    for seed in (0, 2, 10):
        write_evaluation(tmp_path / f"ptdec-{seed}", seed=seed, model=PTDEC)
        write_evaluation(tmp_path / f"su2-{seed}", copy="su", seed=seed)
        write_evaluation(tmp_path / f"su2-{seed}", "test_x", copy="words", seed=seed)
    ptdec = [tmp_path / f"ptdec-{seed}" / "eval" / "test" for seed in (0, 2, 10)]
    others = [tmp_path / f"su2-{seed}" for seed in (0, 2, 10)]
    assert _names(*ptdec, *others) == {
        "PtDec": ["PtDec, seed 0", "PtDec, seed 2", "PtDec, seed 10"],
        "su2": ["su2, seed 0", "su2, seed 2", "su2, seed 10"],
        "su2/test_x": ["su2/test_x, seed 0", "su2/test_x, seed 2", "su2/test_x, seed 10"],
    }
    assert _names(*ptdec[:1]) == {"PtDec": ["PtDec"]}


def test_where_folders_have_nothing_in_common_all_are_named(tmp_path):
    for seed, name in enumerate(("good", "bad")):
        write_evaluation(tmp_path / name, seed=seed)
    names = _names(tmp_path / "good", tmp_path / "bad")
    assert names == {"good, bad": ["good, bad, seed 0", "good, bad, seed 1"]}


def test_what_differs_in_more_is_told_apart_by_its_folders(tmp_path):
    for name, steps in (("a", 10), ("b", 11)):
        write_evaluation(tmp_path / name, seed=0, model={**PTDEC, "num_steps": steps})
    assert list(_names(tmp_path / "a", tmp_path / "b")) == ["PtDec (a)", "PtDec (b)"]


def test_each_seed_is_once_in_a_system(tmp_path):
    """The second may be a copy, or of the same configuration by other code."""
    before, after = ([tmp_path / f"{name}-{seed}" for seed in (0, 1)] for name in ("ptdec", "new"))
    for path, seed in zip((*before, *after), (0, 1) * 2, strict=True):
        write_evaluation(path, seed=seed, model=PTDEC)
    expected = {
        "PtDec (ptdec)": ["PtDec (ptdec), seed 0", "PtDec (ptdec), seed 1"],
        "PtDec (new)": ["PtDec (new), seed 0", "PtDec (new), seed 1"],
    }
    assert _names(*before, *after) == expected
    # Of one name too, or one run that is given twice.
    write_evaluation(tmp_path / "x" / "new-0", seed=0, model=PTDEC)
    one, other = after[0], tmp_path / "x" / "new-0"
    assert _names(one, other) == {
        name: [name] for name in (f"PtDec ({path}/eval/test)" for path in (one, other))
    }
    assert len(_names(one, one / "eval" / "test")) == 2


def _trained(path, seed, manual_dir, examples=None):
    """An evaluation of a run on the files in a folder, and where `examples` is said its run.json.

    The data's fingerprint is that of a word-level family, which the seed is a part of.
    """
    write_evaluation(path, seed=seed, data={"name": "jsonl", "manual_dir": manual_dir})
    if examples is not None:
        corpora = {"train": CorpusStatistics(examples, 9, 2, {"2": 0, "3": 0, "3+": 0})}
        facts = record.Facts({}, "r", {record.TRAINING_DATA: f"{seed}"}, 7, 40, "cpu", corpora)
        with record.recorded(path, facts):
            pass
    return path


def test_runs_on_other_data_are_other_systems_wherever_it_lies(tmp_path):
    def grouped(*runs):
        name = str(len(list(tmp_path.iterdir())))
        paths = [_trained(tmp_path / name / f"r-{n}", n, *run) for n, run in enumerate(runs)]
        return [len(runs) for runs in _names(*paths).values()]

    here, there = "/full/corpus", "/half/corpus"
    assert grouped((here, 100), (there, 100)) == [2]
    assert grouped((here, 100), (here, 50)) == [1, 1]
    assert grouped((here, 100), (there, 50), (there, 100)) == [2, 1]
    # Without run.json the folders say what there is to know.
    assert grouped((here,), (here,)) == [2]
    assert grouped((here,), (there,)) == [1, 1]
    assert grouped((here, 100), (here,)) == [1, 1]


def test_what_has_no_seed_is_on_its_own(tmp_path):
    for name in ("a", "b"):
        write_evaluation(tmp_path / name, model={"family": "lookup"})
    names = _names(tmp_path / "a", tmp_path / "b")
    assert names == {"look-up (a)": ["look-up (a)"], "look-up (b)": ["look-up (b)"]}
