from __future__ import annotations

import pytest

from deployment.device_farm.address import check_reachable, split_address
from deployment.device_farm.errors import FarmPlanError


@pytest.mark.parametrize("address", ["8.8.8.8:9092", "[2001:4860:4860::8888]:443"])
def test_public_addresses(address: str) -> None:
    check_reachable(address)


@pytest.mark.parametrize(
    "address",
    [
        "192.168.1.10:9092",
        "10.0.0.1:9092",
        "172.20.0.4:9092",
        "100.64.0.1:9092",  # behind a provider's own translation
        "169.254.3.4:9092",
        "127.0.0.1:9092",
        "0.0.0.0:9092",
        "203.0.113.9:9092",  # only in books
        "[::1]:9092",
        "[fe80::1]:9092",
        "[fd00::1]:9092",
    ],
)
def test_private_addresses(address: str) -> None:
    with pytest.raises(FarmPlanError, match="is on a private network; phones of the farm reach only servers on the"):
        check_reachable(address)


@pytest.mark.parametrize("name", ["laptop", "laptop.local", "nas.home.arpa", "db.internal", "localhost", "x.LAN"])
def test_names_of_local_networks(name: str) -> None:
    with pytest.raises(FarmPlanError, match=f"the server {name} has a name of a local network"):
        check_reachable(f"{name}:9092", resolver=lambda host: ["8.8.8.8"])


def test_names_are_looked_up() -> None:
    check_reachable("fleet.example:9092", resolver=lambda host: ["8.8.8.8", "2001:4860:4860::8888"])
    with pytest.raises(FarmPlanError, match="has no address"):
        check_reachable("fleet.example:9092", resolver=lambda host: [])
    with pytest.raises(FarmPlanError, match=r"fleet\.example \(192\.168\.1\.2\) is on a private network"):
        check_reachable("fleet.example:9092", resolver=lambda host: ["8.8.8.8", "192.168.1.2"])
    with pytest.raises(FarmPlanError, match="private"):
        check_reachable("fleet.example:9092", resolver=lambda host: ["fe80::1%eth0"])


@pytest.mark.parametrize("address", ["fleet.example", "fleet.example:0", "a b:1", "http://x:1", "x:99999", ""])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(FarmPlanError, match="is not HOST:PORT"):
        split_address(address)
