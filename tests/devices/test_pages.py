"""Advice on huge pages: given where they can be had and are not asked for."""

import platform

import pytest

from grel.devices import pages


@pytest.fixture
def setting(tmp_path, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.35"))
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never\n")
    return path


def test_huge_pages_are_advised_where_they_come_on_request(setting):
    advice = "steps are faster with GLIBC_TUNABLES=glibc.malloc.hugetlb=1 before python"
    assert pages.advice(setting) == advice


@pytest.mark.parametrize("text", ["[always] madvise never\n", "always madvise [never]\n", None])
def test_no_advice_where_the_kernel_always_or_never_gives_them(setting, text):
    setting.unlink() if text is None else setting.write_text(text)
    assert pages.advice(setting) is None


@pytest.mark.parametrize("version", [("glibc", "2.34"), ("glibc", "2.9"), ("", ""), ("musl", "9")])
def test_no_advice_for_a_library_that_cannot(setting, monkeypatch, version):
    monkeypatch.setattr(platform, "libc_ver", lambda: version)
    assert pages.advice(setting) is None


def test_no_advice_where_it_was_decided(setting, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert pages.advice(setting) is None
