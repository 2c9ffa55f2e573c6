"""A phone of the farm enrols itself at a real SuperLink, with the program that runs on the test host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployment.device_farm.phone_program import Trouble, enrol
from edge_client.state import StateDirectory
from edge_client.transport.keys import ClientKey
from python_server.cli import main
from python_server.identity import Identity, host_names
from python_server.superlink import SuperLink, SuperLinkSettings

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # within flwr


def test_enrol_with_a_ticket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    identity = Identity(tmp_path / "identity")
    certificates = identity.certificates(host_names())
    (tmp_path / "digits.toml").write_text('name = "d"\nrounds = 1\n[model]\nbundle = "d.bundle"\n')
    words = ["ticket", str(tmp_path / "digits.toml"), "--prefix", "night", "--devices", "1", "--json"]
    assert main(words) == 0
    ticket = json.loads(capsys.readouterr().out)["ticket"]
    with StateDirectory(tmp_path / "phone") as state:
        pem = ClientKey.load_or_create(state.key_file).public_pem.decode()
    with SuperLink(SuperLinkSettings(port=0, certificates=certificates), tmp_path / "superlink.log") as superlink:
        invitation = {"server": f"localhost:{superlink.port}", "ca": certificates.ca.read_text()}
        with pytest.raises(Trouble, match="did not enrol the phone: the server knows no such ticket"):
            enrol(invitation, "night-000", pem, "a guess")
        assert identity.devices() == {}
        enrol(invitation, "night-000", pem, ticket)
        (name,) = identity.devices()
        assert name.startswith("night-000-")
        with StateDirectory(tmp_path / "other") as state:
            other = ClientKey.load_or_create(state.key_file).public_pem.decode()
        with pytest.raises(Trouble, match="used up"):
            enrol(invitation, "night-001", other, ticket)
    assert ticket not in (tmp_path / "superlink.log").read_text()
