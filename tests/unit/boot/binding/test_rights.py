# SPDX-License-Identifier: Apache-2.0
"""Who may use VFIO, and that network managers leave the NIC alone."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from nicpass.boot.binding.plan import plan_bindings
from nicpass.boot.binding.rights import (
    MODULES_LOAD,
    NETWORK_MANAGER,
    NETWORKD,
    UDEV_RULE,
    is_group_name,
    plan_rights,
    plan_rights_removal,
)
from nicpass.engine.boot.file_changes import apply_changes, verify_changes
from nicpass.host.boot.places import read_places
from nicpass.host.doors.files import Files
from nicpass.model.boot import Boot, BootChange, invert_boot_change
from tests.unit.boot.binding.test_plan import BINDING, everything

MACS = ("00:1b:21:00:00:02", "00:1b:21:00:00:01")
RUNS_NETWORKD = "sys/fs/cgroup/system.slice/systemd-networkd.service"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for folder in ("etc/modules-load.d", "etc/udev/rules.d", "etc/NetworkManager/conf.d", "etc/systemd/network"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / RUNS_NETWORKD).mkdir(parents=True)
    return Files(str(tmp_path))


def apply(files: Files, change: BootChange) -> BootChange:
    apply_changes(files, change.files)
    verify_changes(files, change.files)
    return change


def text_of(files: Files, path: str) -> str:
    return Path(files.path(path)).read_text()


class TestWhatIsWritten:
    """Each file, and when there is none."""

    def test_the_modules_are_loaded_at_boot(self, files: Files) -> None:
        change = apply(files, plan_rights(read_places(files)))
        assert [c.path for c in change.files] == [MODULES_LOAD]
        assert text_of(files, MODULES_LOAD).splitlines()[1:] == ["vfio-pci", "vfio_iommu_type1"]

    def test_a_group_may_open_the_nodes(self, files: Files) -> None:
        apply(files, plan_rights(read_places(files), group="kvm"))
        assert 'SUBSYSTEM=="vfio", GROUP="kvm", MODE="0660"\n' in text_of(files, UDEV_RULE)
        change = apply(files, plan_rights(read_places(files)))
        assert [(c.path, c.after) for c in change.files] == [(UDEV_RULE, None)]

    def test_managers_leave_the_nics_alone(self, files: Files) -> None:
        apply(files, plan_rights(read_places(files), MACS))
        keyfile = configparser.ConfigParser(delimiters=("=",))
        keyfile.read_string(text_of(files, NETWORK_MANAGER))
        assert keyfile["keyfile"]["unmanaged-devices+"] == "mac:00:1b:21:00:00:01;mac:00:1b:21:00:00:02"
        network = configparser.ConfigParser()
        network.optionxform = str  # type: ignore[method-assign, assignment]
        network.read_string(text_of(files, NETWORKD))
        assert network["Match"]["PermanentMACAddress"].split() == sorted(MACS)
        assert network["Link"]["Unmanaged"] == "yes"

    def test_a_manager_that_is_not_there_gets_no_file(self, files: Files, tmp_path: Path) -> None:
        (tmp_path / RUNS_NETWORKD).rmdir()
        (tmp_path / "etc/NetworkManager/conf.d").rmdir()
        change = plan_rights(read_places(files), MACS)
        assert [c.path for c in change.files] == [MODULES_LOAD]

    def test_one_that_is_enabled_and_does_not_run_yet_gets_one(self, files: Files, tmp_path: Path) -> None:
        (tmp_path / RUNS_NETWORKD).rmdir()
        wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(parents=True)
        (wants / "systemd-networkd.service").symlink_to("/usr/lib/systemd/system/systemd-networkd.service")
        assert NETWORKD in {c.path for c in plan_rights(read_places(files), MACS).files}

    def test_nothing_takes_effect_before_the_reboot(self, files: Files) -> None:
        assert plan_rights(read_places(files), MACS, "kvm").generators == ()

    def test_folders_that_are_missing_are_made_for_all_to_read(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        (tmp_path / "etc").mkdir()
        apply(files, plan_rights(read_places(files)))
        assert (tmp_path / "etc/modules-load.d").stat().st_mode & 0o777 == 0o755

    @pytest.mark.parametrize("name", ["", "a b", 'x"', "-x", "a" * 40, "x\n"])
    def test_what_is_no_group(self, name: str) -> None:
        assert not is_group_name(name)
        with pytest.raises(ValueError, match="no name of a group"):
            plan_rights({}, group=name)

    def test_what_is_no_mac(self) -> None:
        with pytest.raises(ValueError, match="no MAC"):
            plan_rights({}, ["x\n[Link]"])


class TestBack:
    """All of it can be taken away."""

    def test_done_twice_is_done_once(self, files: Files) -> None:
        apply(files, plan_rights(read_places(files), MACS, "kvm"))
        assert not plan_rights(read_places(files), MACS, "kvm")

    def test_the_inverse_leaves_what_was_before(self, files: Files, tmp_path: Path) -> None:
        (tmp_path / MODULES_LOAD[1:]).write_text("somebody's\n")
        before = everything(tmp_path)
        change = apply(files, plan_rights(read_places(files), MACS, "kvm"))
        apply(files, invert_boot_change(change))
        assert everything(tmp_path) == before

    def test_removal_makes_the_managers_look_again(self, files: Files, tmp_path: Path) -> None:
        before = everything(tmp_path)
        apply(files, plan_rights(read_places(files), MACS, "kvm"))
        change = apply(files, plan_rights_removal(read_places(files)))
        assert everything(tmp_path) == before
        assert [generator.argv[-1] for generator in change.generators] == [
            "NetworkManager.service",
            "systemd-networkd.service",
            "--reload",
        ]
        assert not plan_rights_removal(read_places(files))

    def test_bindings_and_rights_leave_each_other_alone(self, files: Files) -> None:
        apply(files, plan_bindings(Boot(), read_places(files), [BINDING]))
        apply(files, plan_rights(read_places(files), MACS, "kvm"))
        assert not plan_bindings(Boot(), read_places(files), [BINDING])
        apply(files, plan_bindings(Boot(), read_places(files), []))
        assert not plan_rights(read_places(files), MACS, "kvm")
