from __future__ import annotations

import pytest

from deployment.discover import _name, parse_host


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pi", ("pi", 22)),
        ("pi.local:2222", ("pi.local", 2222)),
        ("fe80::1", ("fe80::1", 22)),
        ("[fe80::1]", ("fe80::1", 22)),
        ("[fe80::1]:2222", ("fe80::1", 2222)),
    ],
)
def test_hosts_and_ports(text: str, address: tuple[str, int]) -> None:
    assert parse_host(text, 22) == address


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.168.1.21", "board-21"),
        ("pi-kitchen.local", "pi-kitchen"),
        ("::1", "board-1"),
        ("2001:db8::7", "board-2001-db8-7"),
        ("-odd_", "odd"),
        ("k" * 200, "k" * 48),
    ],
)
def test_names_are_those_of_an_inventory(host: str, name: str) -> None:
    assert _name(host) == name
