from __future__ import annotations

from pathlib import Path

import pytest

from deployment.errors import InventoryError
from deployment.inventory import DeviceEntry, Secret, load_inventory
from deployment.inventory_edit import add_device, set_key

GOOD = """\
[server]
address = "https://10.0.0.1:9092"   # the laptop
ca = "identity/ca.pem"

[[devices]]
name = "kitchen"      # on the shelf
host = "10.0.0.2"
user = "pi"
password = { env = "KITCHEN" }
groups = ["pis"]
data = "data/kitchen.npz"

[[devices]]
name = "here"
connect = "local"
groups = ["pis", "fast"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(GOOD)
    return path


def test_paths_start_from_the_file_and_defaults_are_safe(file: Path) -> None:
    inventory = load_inventory(file)
    kitchen, here = inventory.devices
    assert kitchen.data == file.parent / "data/kitchen.npz"
    assert inventory.server.ca == file.parent / "identity/ca.pem"
    assert (inventory.server.host_and_port, inventory.server.insecure) == ("10.0.0.1:9092", False)
    assert (kitchen.connect, kitchen.address, here.address) == ("ssh", "pi@10.0.0.2", "this machine")


def test_devices_are_chosen_by_name_and_group(file: Path) -> None:
    inventory = load_inventory(file)
    assert [device.name for device in inventory.choose()] == ["kitchen", "here"]
    assert [device.name for device in inventory.choose(groups=["pis"])] == ["kitchen", "here"]
    assert [device.name for device in inventory.choose(["kitchen"], ["fast"])] == ["kitchen", "here"]
    with pytest.raises(InventoryError, match=r"fleet.toml: no device 'bath'; there are: here, kitchen"):
        inventory.choose(["bath"])
    with pytest.raises(InventoryError, match=r"no group 'slow'; there are: fast, pis"):
        inventory.choose(groups=["slow"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('user = "pi"', 'usr = "pi"', "unknown key 'usr' in device 'kitchen'; did you mean 'user'?"),
        ('{ env = "KITCHEN" }', '"secret"', "device 'kitchen'.password must not stand in the file"),
        ('{ env = "KITCHEN" }', "{ }", "has to be { env ="),
        ('"https://10.0.0.1:9092"', '"10.0.0.1"', "server.address has to look like"),
        ('"https://10.0.0.1:9092"', '"https://10.0.0.1:x"', "server.address has to look like"),
        ('host = "10.0.0.2"', "", "device 'kitchen': ssh needs a host"),
        ('host = "10.0.0.2"', 'host = "-oProxyCommand=x"', "begins with '-'"),
        ('connect = "local"', 'connect = "adb"', "device 'here': adb needs a serial or a host"),
        ('connect = "local"', 'connect = "shh"', "did you mean 'ssh'?"),
        ('"here"', '"kitchen"', "two devices are called 'kitchen'"),
        ('"here"', '"../x"', "is no device name"),
        *(
            ('connect = "local"', f'connect = "local"\ndirectory = "{wrong}"', f"@ -; it is {wrong!r}")
            for wrong in ("", ".", "/", "~", "~/", "~pi/x", "a/../..", "-x", "50%", "/.", "$HOME")
        ),
        ('connect = "local"', 'connect = "local"\npython = ""', "has to be a program"),
        ("[server]", "[server", "not a TOML file"),
    ],
)
def test_a_wrong_inventory_is_one_line_that_names_it(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InventoryError) as caught:
        load_inventory(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_devices_directory_and_python_start_from_its_home(file: Path) -> None:
    file.write_text(GOOD + 'directory = "~/our fleet/"\npython = "~/python/bin/python3"\n')
    here = load_inventory(file).devices[1]
    assert (here.directory, here.python) == ("our fleet", "python/bin/python3")
    file.write_text(GOOD + 'directory = "/mnt//ssd/./fleet"\n')
    assert load_inventory(file).devices[1].directory == "/mnt/ssd/fleet"


def test_no_inventory_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="fleet discover"):
        load_inventory(tmp_path / "fleet.toml")


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITCHEN", "open sesame")
    assert Secret(env="KITCHEN").reveal("kitchen", "password") == "open sesame"
    monkeypatch.delenv("KITCHEN")
    with pytest.raises(InventoryError, match="kitchen: password: the environment variable KITCHEN is not set"):
        Secret(env="KITCHEN").reveal("kitchen", "password")


def test_writing_a_key_leaves_the_rest_alone(file: Path) -> None:
    set_key(file, "kitchen", "profile", "raspberry_pi_4")
    set_key(file, "kitchen", "name", "bath")
    expected = GOOD.replace('"kitchen"  ', '"bath"  ').replace(
        '"data/kitchen.npz"\n', '"data/kitchen.npz"\nprofile = "raspberry_pi_4"\n'
    )
    assert file.read_text() == expected


def test_an_added_device_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    new = DeviceEntry("bath", host="10.0.0.9", port=2222, password=Secret(prompt=True), groups=("wet",))
    add_device(file, DeviceEntry("here", "local"))
    add_device(file, new)
    assert load_inventory(file).devices == (DeviceEntry("here", "local"), new)


def test_a_change_that_would_break_the_file_is_not_made(file: Path) -> None:
    with pytest.raises(InventoryError, match="two devices are called 'here'"):
        add_device(file, DeviceEntry("here", "local"))
    with pytest.raises(InventoryError, match="no table"):
        set_key(file, "bath", "profile", "generic")
    assert file.read_text() == GOOD
    assert [path.name for path in file.parent.iterdir()] == ["fleet.toml"]
