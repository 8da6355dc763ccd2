"""The socket: where it is, who reaches it, and what can be wrong with an address."""

import pytest

from grel.errors import UsageError
from tests.serving.served import REASON

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason=REASON)

from grel.serving.listening import allowed_hosts, bind, is_loopback, url  # noqa: E402


def test_this_machine_alone_reaches_the_loopback_and_calls_it_by_its_names():
    with bind("127.0.0.1", 0) as opened:
        assert url(opened) == f"http://127.0.0.1:{opened.getsockname()[1]}/"
        assert is_loopback(opened)
        assert allowed_hosts(opened, ["Grel.Example"]) == {
            *("localhost", "127.0.0.1", "[::1]", "grel.example")
        }


def test_others_may_reach_another_address_by_any_name_but_where_some_are_given():
    with bind("0.0.0.0", 0) as opened:
        assert not is_loopback(opened)
        assert allowed_hosts(opened, []) is None
        assert "grel.example" in allowed_hosts(opened, ["grel.example"])


def test_addresses_that_cannot_be_are_told_in_one_line():
    with bind("127.0.0.1", 0) as opened:
        opened.listen()
        port = opened.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^--host=127.0.0.1 --port={port}: Address already"):
            bind("127.0.0.1", port)
    with pytest.raises(UsageError, match=r"^--host=no.such.host.invalid: "):
        bind("no.such.host.invalid", 0)
    with pytest.raises(UsageError, match=r"^--host=192.0.2.1 --port=0: "):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example", ".", "\udcff"])
def test_names_that_no_machine_has_are_told_in_one_line(host):
    with pytest.raises(UsageError) as info:
        bind(host, 0)
    assert str(info.value).startswith(f"--host={host}: ")
