from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from python_server.errors import IdentityError
from python_server.identity import Identity
from python_server.tickets import ENROL_PATH, EnrolDesk, Tickets


def public_key() -> bytes:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return Identity(tmp_path / "identity")


def test_a_ticket_enrols_so_many_devices(identity: Identity) -> None:
    tickets = Tickets(identity)
    ticket = tickets.issue("night", 2, 1)
    first = public_key()
    name = tickets.redeem(ticket, "night-000", first)
    assert name.startswith("night-000-")
    assert tickets.redeem(ticket, "night-000", first) == name  # its answer was lost: nothing is used up
    again = tickets.redeem(ticket, "night-000", public_key())  # the same phone, a new run
    assert sorted(identity.devices()) == sorted([name, again])
    with pytest.raises(IdentityError, match="used up"):
        tickets.redeem(ticket, "night-001", public_key())
    (file,) = (identity.path / "tickets").glob("*.json")
    assert ticket not in file.read_text() + file.name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_a_ticket_is_not_good_for(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    tickets = Tickets(identity)
    ticket = tickets.issue("night", 2, 1)
    with pytest.raises(IdentityError, match="no such ticket"):
        tickets.redeem(ticket + "x", "night-000", public_key())
    with pytest.raises(IdentityError, match="start with 'night'"):
        tickets.redeem(ticket, "pi-kitchen", public_key())
    with pytest.raises(IdentityError, match="no device name"):
        tickets.redeem(ticket, "night/../x", public_key())
    with pytest.raises(IdentityError, match="not a public key"):
        tickets.redeem(ticket, "night-000", b"hello")
    monkeypatch.setattr("python_server.tickets.time.time", lambda: 4e9)
    with pytest.raises(IdentityError, match="expired"):
        tickets.redeem(ticket, "night-000", public_key())
    assert identity.devices() == {}
    for devices, hours in ((0, 1), (1, 0), (1, 1000)):
        with pytest.raises(IdentityError, match="1 to 10000 devices"):
            tickets.issue("night", devices, hours)


def ask(desk: EnrolDesk, body: bytes, path: str = ENROL_PATH, method: str = "POST") -> tuple[int, str]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(desk({"type": "http", "path": path, "method": method, "headers": []}, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


def test_the_desk_answers_in_words(identity: Identity) -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"behind"})

    desk = EnrolDesk(behind, Tickets(identity))
    ticket = Tickets(identity).issue("n", 1, 1)
    good = {"ticket": ticket, "name": "n-0", "key": public_key().decode()}
    assert ask(desk, json.dumps({**good, "ticket": "?"}).encode()) == (403, "the server knows no such ticket")
    status, name = ask(desk, json.dumps(good).encode())
    assert (status, list(identity.devices())) == (200, [name])
    assert ask(desk, b"{}")[0] == ask(desk, b"[]")[0] == ask(desk, b"\xff")[0] == 400
    assert ask(desk, bytes(10_000))[0] == ask(desk, b"", method="GET")[0] == 400
    assert ask(desk, b"", path="/v1/fleet/other") == (418, "behind")
