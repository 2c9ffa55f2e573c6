from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles import Profile, ProfileError, catalog, load_profile, match
from device_profiles.profile import ENERGY_KINDS, read_profile

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "devices.md"
PROFILES = [load_profile(name) for name in catalog()]
KNOWN = [profile for profile in PROFILES if profile.name != "generic"]


def test_the_devices_that_are_promised_are_there() -> None:
    promised = [f"pixel_{number}" for number in (2, 3, 4, 6, 7, 8, 9)]
    promised += ["galaxy_tab_s4", "galaxy_tab_s6", "oneplus_9_pro", "jetson_nano", "jetson_tx2", "jetson_xavier_nx"]
    promised += ["jetson_agx_xavier", "jetson_orin_nano", "jetson_orin_nx", "jetson_agx_orin"]
    promised += ["raspberry_pi_3", "raspberry_pi_4", "raspberry_pi_5", "generic"]
    assert set(promised) <= set(catalog())


@pytest.mark.parametrize("profile", KNOWN, ids=lambda profile: profile.name)
def test_every_profile_has_cores_a_way_to_be_known_and_sources(profile: Profile) -> None:
    assert profile.soc
    assert profile.abis
    assert profile.kind in ("phone", "tablet", "board")
    assert profile.system == ("linux" if profile.kind == "board" else "android")
    assert 4 <= profile.cores <= 12
    assert all(cluster.max_ghz is None or 1 <= cluster.max_ghz <= 4 for cluster in profile.clusters)
    assert all(source.kind in ENERGY_KINDS for source in profile.energy)
    assert profile.identity.compatible or profile.identity.model
    assert profile.sources
    assert profile.power.source


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_documentation_has_every_profile(profile: Profile) -> None:
    rows = [
        line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{profile.name}`")
    ]
    assert len(rows) == 1
    assert profile.title in rows[0]
    for cluster in profile.clusters:
        clock = f" ({cluster.max_ghz:g} GHz)" if cluster.max_ghz else ""
        assert f"{cluster.count} × {cluster.core}{clock}" in rows[0]
    own = profile.name == "generic" or profile.power != load_profile("generic").power
    assert (f"{profile.power.idle_w:g} W + {profile.power.busy_w_per_core:g} W a core" in rows[0]) == own


def test_a_power_figure_of_its_own_is_computed_as_its_comment_says() -> None:
    pi = load_profile("raspberry_pi_4")
    # Raspberry Pi's table: 0.6 A idle, 1.2 A under stress, four cores.
    assert pi.power.idle_w == pytest.approx(0.6 * 5.1)
    assert pi.power.busy_w_per_core * 4 == pytest.approx((1.2 - 0.6) * 5.1)
    assert "assumption" in load_profile("pixel_6").power.source, "nobody has published one for it"


def test_published_training_is_computed_as_the_comments_say() -> None:
    gpu, cpu = load_profile("jetson_tx2").published
    assert gpu.epoch_s == pytest.approx(1.99 * 60 / 10)
    assert gpu.round_s == pytest.approx((80.32 / 40 - 1.99) * 60)
    assert gpu.power_w == pytest.approx(100_950 / (40 * 10 * 119.4), rel=1e-3)
    assert cpu.epoch_s == pytest.approx(1.27 * gpu.epoch_s, rel=1e-3)
    assert cpu.power_w is None
    for name in ("pixel_2", "pixel_3", "pixel_4", "galaxy_tab_s4", "galaxy_tab_s6"):
        (phone,) = load_profile(name).published
        assert phone.epoch_s == pytest.approx(30.7 * 60 / 20 / 5)
        assert phone.power_w == pytest.approx(10_400 / (20 * 4 * 92.1), rel=1e-3)


def test_a_battery_is_its_charge_at_the_assumed_voltage() -> None:
    assert load_profile("pixel_2").battery_wh == pytest.approx(2.7 * 3.85, abs=0.05)
    assert load_profile("pixel_4").battery_wh is None, "its source gives another model's"


# What the device trees and properties of real devices say, as quoted in public.
TREES = {
    "jetson_nano": "nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,jetson-nano\0nvidia,tegra210\0",
    "jetson_orin_nano": "nvidia,p3768-0000+p3767-0003-super\0nvidia,p3767-0003\0nvidia,tegra234\0",
    "jetson_orin_nx": "nvidia,p3509-0000+p3767-0000\0nvidia,p3767-0000\0nvidia,tegra234\0",
    "jetson_xavier_nx": "nvidia,p3509-0000+p3668-0000\0nvidia,tegra194\0",
    "jetson_agx_xavier": "nvidia,p2972-0000\0nvidia,tegra194\0",
    "jetson_tx2": "nvidia,p2771-0000\0nvidia,tegra186\0",
    "raspberry_pi_3": "raspberrypi,3-model-b\0brcm,bcm2837\0",
    "raspberry_pi_3_plus": "raspberrypi,3-model-b-plus\0brcm,bcm2837\0",
    "raspberry_pi_4": "raspberrypi,4-model-b\0brcm,bcm2711\0",
    "raspberry_pi_5": "raspberrypi,5-model-b\0brcm,bcm2712\0",
}


@pytest.mark.parametrize("name", TREES)
def test_a_board_is_known_by_its_device_tree(name: str) -> None:
    assert match({"device_tree_compatible": TREES[name]}).name == name
    assert match({"device_tree_compatible": TREES[name].replace("\0", "\n")}).name == name


def test_a_phone_is_known_by_its_model_or_its_code_name() -> None:
    assert match({"ro.product.model": "Pixel 9"}).name == "pixel_9"
    assert match({"ro.product.model": "AOSP on oriole", "ro.product.device": "oriole"}).name == "pixel_6"
    assert match({"ro.product.model": "SM-T837V", "ro.product.device": "gts4lvvzw"}).name == "galaxy_tab_s4"


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"ro.product.model": ""},
        {"ro.product.model": "Pixel 6 Pro", "ro.product.device": "raven"},
        {"device_tree_compatible": "raspberrypi,model-zero-w\0brcm,bcm2835\0"},
        {"device_tree_compatible": "nvidia,tegra234\0"},
        {"board": "Pixel 9"},
    ],
)
def test_what_nobody_knows_is_generic(facts: dict[str, str]) -> None:
    assert match(facts).name == "generic"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "x"', "'title'"),
        ('name = "x"\ntitle = "X"\ncolour = "red"', "unknown key 'colour'"),
        ('name = "y"\ntitle = "X"', "its name is 'y'"),
        ('name = "x"\ntitle = "X"\nkind = "toaster"', "kind is 'toaster'; it may be phone"),
        ('name = "x"\ntitle = "X"\nabis = "arm64-v8a"', "has to be a list"),
        ('name = "x"\ntitle = "X"\nenergy = [{ kind = "battery", covers = "half" }]', "energy.covers is 'half'"),
        ('name = "x"\ntitle = "X"\n[identity]\nserial = ["1"]', "serial"),
        ('name = "x"\ntitle = "X"\n[power]\nidle_w = 1.0\nbusy_w_per_core = 1.0', "'source'"),
        ("name = ", "malformed"),
    ],
)
def test_a_malformed_profile_says_what_is_wrong(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        read_profile(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
