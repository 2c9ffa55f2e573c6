from __future__ import annotations

import socket

import pytest

from python_server.errors import DashboardError, PortInUseError, SuperLinkError
from python_server.listening import is_loopback, listening_socket


def listen(host: str, port: int = 0) -> socket.socket:
    return listening_socket(host, port, failed=SuperLinkError, in_use=PortInUseError, instead="take another")


def test_a_free_port_and_one_that_is_taken() -> None:
    with listen("127.0.0.1") as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is in use by .*; take another"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(DashboardError, match="is not an address of this host"):
        listening_socket(host, 0, failed=DashboardError, in_use=DashboardError, instead="")


def test_an_address_of_another_host() -> None:
    with pytest.raises(SuperLinkError, match=r"cannot listen on 192.0.2.1:0: "):
        listen("192.0.2.1")


@pytest.mark.parametrize(
    ("host", "alone"),
    [("localhost", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False), ("pi", False)],
)
def test_who_can_reach_it(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
