"""Links below a run folder are told, wherever they stand; the folder itself may be one."""

import pytest

from grel.runs import layout


def test_what_is_no_link_is_reached(tmp_path):
    (tmp_path / "real" / "eval").mkdir(parents=True)
    (tmp_path / "run").symlink_to("real")
    for names in ((), ("eval",), ("eval", "test", "gold.jsonl"), ("missing",)):
        assert layout.inside(tmp_path / "run", *names) == (tmp_path / "run").joinpath(*names)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_refused_wherever_it_stands(tmp_path, exists):
    if exists:
        (tmp_path / "elsewhere" / "test").mkdir(parents=True)
    (tmp_path / "run" / "deep").mkdir(parents=True)
    link = tmp_path / "run" / "deep" / "eval"
    link.symlink_to(tmp_path / "elsewhere")
    for names in (("eval",), ("eval", "test")):
        with pytest.raises(layout.LinkError) as told:
            layout.inside(tmp_path / "run" / "deep", *names)
        assert str(told.value).startswith(f"{link}: is a link, and links below a run folder are")
    with pytest.raises(layout.LinkError):
        layout.refuse_links(tmp_path / "run")
    link.unlink()
    layout.refuse_links(tmp_path / "run")
