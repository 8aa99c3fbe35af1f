# SPDX-License-Identifier: Apache-2.0
"""What the decoder must say of 142 real functions, whose bytes and truth lie in ../shared/hosts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nicpass.host.pci.config_space import decode_config
from nicpass.model.config_space import ConfigSpace, Sriov
from nicpass.model.fact import known
from tests.support.config_dumps import parse_dump
from tests.unit.conftest import CAPTURES

DUMPS = CAPTURES / "pciutils-nic-config-dumps"
TYPES = {
    "Endpoint": "endpoint",
    "Legacy Endpoint": "legacy endpoint",
    "Root Port (Slot+)": "root port",
    "Root Port (Slot-)": "root port",
    "Upstream Port": "upstream switch port",
    "Downstream Port (Slot+)": "downstream switch port",
    "Root Complex Integrated Endpoint": "root complex integrated endpoint",
    "Root Complex Event Collector": "root complex event collector",
}


def read_truth() -> dict[str, list[dict[str, Any]]]:
    truth = DUMPS / "truth.json"
    return json.loads(truth.read_text()) if truth.exists() else {}


TRUTH = read_truth()


def load(name: str) -> dict[str, ConfigSpace]:
    if not DUMPS.is_dir():
        pytest.skip("no dumps of real functions: ../shared/hosts/pciutils-nic-config-dumps")
    functions = parse_dump((DUMPS / name).read_text(errors="replace"))
    return {address: decode_config(content) for address, content in functions.items()}


def describe_sriov(sriov: Sriov) -> dict[str, object]:
    return {
        "initial": sriov.initial_vfs,
        "total": sriov.total_vfs,
        "num": sriov.num_vfs,
        "offset": sriov.first_vf_offset,
        "stride": sriov.vf_stride,
        "vf_device": f"{sriov.vf_device_id:04x}",
    }


def describe(true: dict[str, Any], config: ConfigSpace) -> dict[str, object]:
    """The decoded function in the words of the truth, whose null is "lspci printed nothing"."""
    pcie = config.pcie if known(config.pcie) else None
    endpoint = pcie is not None and true["pcie_flr"] is not None
    buses = (config.secondary_bus, config.subordinate_bus)
    shown = {
        "pcie_flr": pcie.flr if pcie is not None and endpoint else None,
        "af_flr": config.af_flr if known(config.af_flr) else None,
        "pm_no_soft_reset": config.pm.no_soft_reset if known(config.pm) else None,
        "sriov": describe_sriov(config.sriov) if known(config.sriov) else None,
        "acs": known(config.acs),
        "ari": known(config.ari),
        "pcie": pcie.port_type if pcie is not None else None,
    }
    return shown | ({"bridge": [f"{bus:02x}" for bus in buses if bus is not None]} if "bridge" in true else {})


@pytest.mark.skipif(not TRUTH, reason="no dumps of real functions: ../shared/hosts/pciutils-nic-config-dumps")
@pytest.mark.parametrize("name", TRUTH or ["absent"])
def test_every_function_is_decoded_as_lspci_does(name: str) -> None:
    configs = load(name)
    assert set(configs) == {true["bdf"] for true in TRUTH[name]}
    for true in TRUTH[name]:
        expected = {key: true[key] for key in describe(true, configs[true["bdf"]])}
        if "bridge" in expected:
            expected["bridge"] = expected["bridge"][1:]
        if expected["pcie"] is not None:
            expected["pcie"] = TYPES[expected["pcie"]]
        assert describe(true, configs[true["bdf"]]) == expected, true["bdf"]
