"""Lines of each release, as people posted them.

* Nano, R32: github.com/evanmayer/effex, issue 12
* TX2, R32: github.com/henrygd/beszel, pull request 1631
* AGX Xavier, R32: github.com/martinkersner/gtop, pull request 7
* AGX Orin, R35: github.com/GDWR/jetson_exporter, issue 14
* Orin NX in the form of R35, with numbers of our own
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_client.energy.source import ReadingError
from edge_client.energy.tegrastats import find_tegrastats, powers_of

NANO = (
    "RAM 1464/3964MB (lfb 214x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU "
    "[90%@1479,16%@1479,0%@1479,9%@1479] EMC_FREQ 6%@1600 GR3D_FREQ 7%@768 APE 25 PLL@28C CPU@32C PMIC@50C GPU@28.5C "
    "AO@37C thermal@30.25C POM_5V_IN 2746/2911 POM_5V_GPU 159/161 POM_5V_CPU 796/989"
)
TX2 = (
    "RAM 3276/7859MB (lfb 5x4MB) SWAP 1626/12122MB (cached 181MB) CPU [44%@1421,49%@2031,67%@2034,17%@1420,25%@1419,"
    "8%@1420] EMC_FREQ 1%@1866 GR3D_FREQ 0%@114 APE 150 MTS fg 1% bg 1% PLL@42.5C MCPU@42.5C PMIC@50C Tboard@38C "
    "GPU@39.5C BCPU@42.5C thermal@41.3C Tdiode@39.25C VDD_SYS_GPU 182/182 VDD_SYS_SOC 730/730 VDD_4V0_WIFI 0/0 "
    "VDD_IN 5297/5297 VDD_SYS_CPU 1917/1917 VDD_SYS_DDR 1241/1241"
)
XAVIER = (
    "RAM 14700/15692MB (lfb 3x2MB) SWAP 898/8192MB (cached 23MB) CPU [0%@1190,0%@1190,0%@1190,0%@1190,0%@1190,0%@1190,"
    "0%@1190,0%@1190] EMC_FREQ 0% GR3D_FREQ 0% AO@30C GPU@30.5C Tboard@31C Tdiode@32C AUX@30.5C CPU@31.5C "
    "thermal@30.8C PMIC@100C GPU 463/463 CPU 618/618 SOC 2936/2936 CV 0/0 VDDRQ 309/309 SYS5V 3306/3306"
)
AGX_ORIN = (
    "04-11-2025 10:36:27 RAM 4321/62801MB (lfb 1759x4MB) SWAP 19/31400MB (cached 0MB) CPU [0%@729,0%@729,0%@729] "
    "EMC_FREQ 0%@2133 GR3D_FREQ 0%@[0,0] VIC_FREQ 729 APE 174 CV0@-256C CPU@44.562C Tboard@32C SOC2@40.093C Tdiode@33C "
    "SOC0@41.093C CV1@-256C GPU@-256C tj@44.343C SOC1@41.25C CV2@-256C VDD_GPU_SOC 2340mW/2340mW "
    "VDD_CPU_CV 390mW/390mW VIN_SYS_5V0 4025mW/4025mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW NC 0mW/0mW"
)
ORIN_NX = (
    "11-21-2026 10:00:00 RAM 3000/15523MB (lfb 1x4MB) SWAP 0/7762MB (cached 0MB) CPU [1%@729,0%@729] EMC_FREQ 0%@2133 "
    "GR3D_FREQ 0%@[306] VIC off APE 200 cpu@48.5C soc2@47.3C tj@48.6C VDD_IN 5166mW/5200mW VDD_CPU_GPU_CV 840mW/850mW "
    "VDD_SOC 1470mW/1470mW"
)


@pytest.mark.parametrize(
    ("line", "powers"),
    [
        (NANO, {"POM_5V_IN": 2.746, "POM_5V_GPU": 0.159, "POM_5V_CPU": 0.796}),
        (
            TX2,
            {"VDD_SYS_GPU": 0.182, "VDD_SYS_SOC": 0.73, "VDD_4V0_WIFI": 0.0, "VDD_IN": 5.297, "VDD_SYS_CPU": 1.917}
            | {"VDD_SYS_DDR": 1.241},
        ),
        (XAVIER, {"GPU": 0.463, "CPU": 0.618, "SOC": 2.936, "CV": 0.0, "VDDRQ": 0.309, "SYS5V": 3.306}),
        (AGX_ORIN, {"VDD_GPU_SOC": 2.34, "VDD_CPU_CV": 0.39, "VIN_SYS_5V0": 4.025, "VDDQ_VDD2_1V8AO": 0.301}),
        (ORIN_NX, {"VDD_IN": 5.166, "VDD_CPU_GPU_CV": 0.84, "VDD_SOC": 1.47}),
        ("RAM 1/2MB", {}),
    ],
)
def test_powers_of_each_release(line: str, powers: dict[str, float]) -> None:
    assert powers_of(line) == pytest.approx(powers)


def tool(root: Path, line: str, then: str = "exec sleep 600") -> Path:
    """A ``tegrastats`` that says one line and then does something else."""
    file = root / "usr/bin/tegrastats"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'#!/bin/sh\n[ "$1 $2" = "--interval 500" ] || exit 9\necho "{line}"\n{then}\n')
    file.chmod(0o755)
    return root


@pytest.mark.parametrize(
    ("line", "watts", "title", "covers", "method"),
    [
        (NANO, 2.746, "tegrastats, POM_5V_IN", "device", "measured"),
        (TX2, 5.297, "tegrastats, VDD_IN", "module", "measured"),
        (XAVIER, 7.632, "tegrastats, GPU + CPU + SOC + CV + VDDRQ + SYS5V", "parts", "rail"),
        (AGX_ORIN, 6.755, "tegrastats, VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0", "parts", "rail"),
        (ORIN_NX, 5.166, "tegrastats, VDD_IN", "module", "measured"),
    ],
)
def test_the_total_of_each_board(line: str, watts: float, title: str, covers: str, method: str, tmp_path: Path) -> None:
    source = find_tegrastats(tool(tmp_path, line))
    source._clock = lambda: source._latest[0]  # however long this machine takes from here on, the line is of now
    try:
        assert source.read() == pytest.approx(watts)
        assert (source.about.title, source.about.covers, source.about.method) == (title, covers, method)
        assert source.helpers_cpu_s() >= 0
    finally:
        source.close()
    with pytest.raises(ReadingError, match="tegrastats ended"):
        source.read()


def test_a_tool_that_ends_or_falls_silent(tmp_path: Path) -> None:
    source = find_tegrastats(tool(tmp_path, NANO))
    source._clock = lambda: source._latest[0] + 60  # the tool has said nothing since
    with pytest.raises(ReadingError, match="said nothing for 60 s"):
        source.read()
    source.close()
    source = find_tegrastats(tool(tmp_path, NANO, "exit 3"))
    source._process.wait()
    with pytest.raises(ReadingError, match="ended with status 3"):
        source.read()
    source.close()


def test_tools_that_are_of_no_use(tmp_path: Path) -> None:
    with pytest.raises(ReadingError, match="no tegrastats"):
        find_tegrastats(tmp_path)
    with pytest.raises(ReadingError, match="told no power"):
        find_tegrastats(tool(tmp_path, "RAM 1464/3964MB", "exit 0"))
    with pytest.raises(ReadingError, match="none of them is known"):
        find_tegrastats(tool(tmp_path, "VDD_NEW 100/100"))
