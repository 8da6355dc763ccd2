"""What systems are called: after the paper, or after the folders of their runs; which are one."""

import pytest

from grel import config as config_lib
from grel import recipes
from grel.runs.evaluations import Evaluation
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
    # Of one name and one seed: two data sets with the same folders, or a run that was copied.
    write_evaluation(tmp_path / "x" / "a", seed=0, model={**PTDEC, "num_steps": 10})
    one, other = tmp_path / "a", tmp_path / "x" / "a"
    (runs,) = _names(one, other).values()
    assert runs == [f"PtDec ({one}/eval/test)", f"PtDec ({other}/eval/test)"]


def test_what_has_no_seed_is_on_its_own(tmp_path):
    for name in ("a", "b"):
        write_evaluation(tmp_path / name, model={"family": "lookup"})
    names = _names(tmp_path / "a", tmp_path / "b")
    assert names == {"look-up (a)": ["look-up (a)"], "look-up (b)": ["look-up (b)"]}
