# SPDX-License-Identifier: Apache-2.0
"""What earlier hands left, and that each mend takes out exactly that."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicpass.checks.host.leftovers import check_leftovers, check_nic_leftovers, ids_match, parse_ids
from nicpass.checks.lookup.index import HostIndex
from nicpass.host.doors.files import Files
from nicpass.host.system.leftovers import parse_cmdline_directives, parse_modprobe, read_leftovers
from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from nicpass.model.leftovers import Directive, Leftovers
from nicpass.model.pci import PciFunction, modalias_of
from tests.support.hosts import VM, bridge, nic, ready_host
from tests.support.provoking import NIC
from tests.support.strategies import values_of
from tests.support.trees import Tree, Vm, hostdev_xml, vf_interface_xml

X520 = PciFunction(
    address=Address(NIC),
    class_code=0x020000,
    vendor_id=0x8086,
    device_id=0x10FB,
    subsystem_vendor_id=0x8086,
    subsystem_device_id=3,
)


def told(tree: Tree, root: Path, subject: str = NIC) -> list[Finding]:
    index = HostIndex(tree.read(root))
    return [*check_leftovers(index), *check_nic_leftovers(index.functions[Address(subject)], index)]


def by_code(tree: Tree, root: Path) -> dict[str, Finding]:
    return {finding.code: finding for finding in told(tree, root)}


def parse(text: str) -> list[tuple[str, str, str]]:
    return [(each.command, each.module, each.value) for each in parse_modprobe("x.conf", text)]


class TestModprobe:
    """modprobe.d(5)."""

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("", []),
            ("# blacklist ixgbe\n", []),
            ("blacklist ixgbe", [("blacklist", "ixgbe", "")]),
            ("  blacklist\tigb-uio  \n", [("blacklist", "igb_uio", "")]),
            ("install ixgbe /bin/false\n", [("install", "ixgbe", "/bin/false")]),
            ("options vfio-pci ids=1:2 disable_vga=1", [("options", "vfio_pci", "ids=1:2 disable_vga=1")]),
            (
                "options vfio-pci \\\n  ids=1:2\nblacklist b",
                [("options", "vfio_pci", "ids=1:2"), ("blacklist", "b", "")],
            ),
            ("options vfio-pci ids=1:2\\", [("options", "vfio_pci", "ids=1:2")]),  # it goes on, and nothing follows
            ("blacklist", []),
            ("softdep ixgbe pre: vfio-pci\nalias a b\n", []),
            ("Blacklist ixgbe", []),
        ],
    )
    def test_lines(self, text: str, found: list[tuple[str, str, str]]) -> None:
        assert parse(text) == found

    @given(st.text())
    def test_no_text_is_too_strange(self, text: str) -> None:
        for directive in parse_modprobe("x.conf", text):
            assert directive.text in text
            assert "-" not in directive.module

    @given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)))
    def test_plain_lines_come_back(self, modules: list[str]) -> None:
        text = "".join(f"blacklist {module}\n# {module}\n\n" for module in modules)
        assert parse(text) == [("blacklist", module, "") for module in modules]

    def test_a_file_of_the_administrator_hides_the_packages(self, tmp_path: Path) -> None:
        tree = ready_host(
            files={
                "/etc/modprobe.d/a.conf": "blacklist one\n",
                "/usr/lib/modprobe.d/a.conf": "blacklist two\n",
                "/usr/lib/modprobe.d/b.conf": "blacklist three\n",
                "/etc/modprobe.d/readme.txt": "blacklist four\n",
            }
        )
        assert [each.module for each in tree.read(tmp_path).leftovers.directives] == ["one", "three"]


class TestCmdline:
    """The same on the kernel's command line."""

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("vfio-pci.ids=8086:10fb,1:2", [("options", "vfio_pci", "ids=8086:10fb,1:2")]),
            ("vfio_pci.ids=8086:10fb", [("options", "vfio_pci", "ids=8086:10fb")]),
            ("modprobe.blacklist=ixgbe,igb-uio", [("blacklist", "ixgbe", ""), ("blacklist", "igb_uio", "")]),
            ("module_blacklist=ixgbe", [("blacklist", "ixgbe", "")]),
            ("module_blacklist= quiet", []),
        ],
    )
    def test_arguments(self, text: str, found: list[tuple[str, str, str]]) -> None:
        assert [(each.command, each.module, each.value) for each in parse_cmdline_directives(text)] == found

    @pytest.mark.parametrize("cmdline", [None, Unknown("permission denied")])
    def test_an_unknown_one_says_nothing(self, cmdline: Unknown | None) -> None:
        assert parse_cmdline_directives(cmdline) == ()

    def test_what_stands_there_is_taken_out_by_hand(self, tmp_path: Path) -> None:
        found = by_code(ready_host(cmdline="ro intel_iommu=on vfio-pci.ids=8086:10fb"), tmp_path)["VFIO_IDS"]
        assert "Take vfio-pci.ids=8086:10fb out" in found.mend
        assert found.command == ""
        assert f"eth1 ({NIC})" in found.sentence


class TestIds:
    """Every card that ids= takes is named."""

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("8086:10fb", True),
            ("8086:10FB", True),
            ("0x8086:0x10fb", True),
            ("8086:10fb:8086:0003", True),
            ("8086:10fb:8086:0004", False),
            ("8086:10fb:ffffffff:ffffffff:020000:ff0000", True),
            ("8086:10fb:ffffffff:ffffffff:030000:ff0000", False),
            ("8086:10fc", False),
            ("ffffffff:10fb", False),
        ],
    )
    def test_matches_as_the_kernel_does(self, text: str, match: bool) -> None:
        ids = parse_ids(text)
        assert ids is not None
        assert ids_match(ids, X520) is match

    @pytest.mark.parametrize("text", ["", "8086", "8086:", "8086:xyz", "8086:10fb:", "1:2:3:4:5:6:7", "-1:2", "1:2\n"])
    def test_what_is_none_is_none(self, text: str) -> None:
        assert parse_ids(text) is None

    @given(st.text(max_size=40))
    def test_no_text_is_too_strange(self, text: str) -> None:
        ids = parse_ids(text)
        assert ids is None or 2 <= len(ids) <= 6

    def test_identical_cards_are_named_and_others_not(self, tmp_path: Path) -> None:
        functions = (nic(NIC, "eth1"), nic("0000:02:00.0", "eth2", group=11), nic("0000:03:00.0", "eth3", device_id=1))
        files = {"/etc/modprobe.d/vfio.conf": 'options vfio-pci ids="8086:10fb,dead:beef"\n'}
        sentence = by_code(ready_host(*functions, files=files), tmp_path)["VFIO_IDS"].sentence
        assert f"eth1 ({NIC}), eth2 (0000:02:00.0)" in sentence
        assert "eth3" not in sentence

    def test_ids_that_no_card_has_are_told_too(self, tmp_path: Path) -> None:
        files = {"/etc/modprobe.d/vfio.conf": "options vfio-pci ids=dead:beef\n"}
        assert "are: none." in by_code(ready_host(files=files), tmp_path)["VFIO_IDS"].sentence

    def test_other_options_of_vfio_pci_are_no_leftovers(self, tmp_path: Path) -> None:
        files = {"/etc/modprobe.d/vfio.conf": "options vfio-pci disable_idle_d3=1\noptions kvm ids=1:2\n"}
        assert not told(ready_host(files=files), tmp_path)


class TestBinding:
    """What put a NIC on VFIO."""

    def test_ids_explain_it(self, tmp_path: Path) -> None:
        files = {"/etc/modprobe.d/vfio.conf": "options vfio-pci ids=8086:10fb\n"}
        found = by_code(ready_host(nic(NIC, driver="vfio-pci"), files=files), tmp_path)
        assert "VFIO_IDS" in found
        assert "BOUND_BY_NEW_ID" not in found

    @pytest.mark.parametrize(("driver", "override"), [("vfio-pci", "vfio-pci"), ("ixgbe", None), (None, None)])
    def test_an_override_or_another_driver_explain_it(
        self, driver: str | None, override: str | None, tmp_path: Path
    ) -> None:
        tree = ready_host(nic(NIC, driver=driver, driver_override=override))
        assert "BOUND_BY_NEW_ID" not in by_code(tree, tmp_path)

    def test_a_vm_that_has_it_explains_it(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, driver="vfio-pci"), vms=(Vm(name="web", devices=hostdev_xml(NIC)),))
        assert "BOUND_BY_NEW_ID" not in by_code(tree, tmp_path)

    def test_the_command_takes_the_ids_back(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, driver="vfio-pci"), nic("0000:02:00.0", "eth2", group=11))
        found = by_code(tree, tmp_path)["BOUND_BY_NEW_ID"]
        assert found.command.splitlines()[0] == "echo '8086 10fb' > /sys/bus/pci/drivers/vfio-pci/remove_id"
        assert "eth2 (0000:02:00.0)" in found.sentence

    def test_driverctl_names_one_nic(self, tmp_path: Path) -> None:
        files = {"/etc/driverctl.d/pci-0000:02:00.0": "vfio-pci\n", "/etc/driverctl.d/vmbus-1": "uio\n"}
        tree = ready_host(nic(NIC, "eth1"), nic("0000:02:00.0", "eth2", group=11), files=files)
        index = HostIndex(tree.read(tmp_path))
        codes = {f.address: [x.code for x in check_nic_leftovers(f, index)] for f in index.host.pci}
        assert codes == {NIC: [], "0000:02:00.0": ["CLAIMED_BY_DRIVERCTL"]}


class TestBlacklist:
    """A driver that cannot come back."""

    @pytest.mark.parametrize(
        ("line", "kept"),
        [
            ("blacklist ixgbe", True),
            ("install ixgbe /bin/true", True),
            ("install ixgbe /bin/false", True),
            ("install ixgbe /sbin/modprobe --ignore-install ixgbe && logger ixgbe", False),
            ("blacklist igb", False),
            ("options ixgbe max_vfs=4", False),
        ],
    )
    def test_which_lines_keep_it_from_loading(self, line: str, kept: bool, tmp_path: Path) -> None:
        tree = ready_host(files={"/etc/modprobe.d/a.conf": f"{line}\n"})
        assert ("DRIVER_BLACKLISTED" in by_code(tree, tmp_path)) is kept

    @pytest.mark.parametrize("driver", [None, "vfio-pci"])
    def test_of_a_nic_without_its_driver_the_aliases_tell(self, driver: str | None, tmp_path: Path) -> None:
        files = {
            "/etc/modprobe.d/a.conf": "blacklist ixgbe\nblacklist nouveau\n",
            "/lib/modules/6.1.0-28-amd64/modules.alias": "alias pci:v00008086d000010FBsv*sd*bc*sc*i* ixgbe\n"
            "alias pci:v000010DEd*sv*sd*bc03sc*i* nouveau\nalias pci:v00008086d00001521sv*sd*bc*sc*i* igb\n",
        }
        tree = ready_host(nic(NIC, driver=driver), files=files)
        assert [each.module for each in tree.read(tmp_path).leftovers.blacklisted_aliases] == ["ixgbe"]
        found = by_code(tree, tmp_path / "again")
        assert found["DRIVER_BLACKLISTED"].sentence.startswith("ixgbe")

    def test_aliases_are_not_read_where_every_nic_has_its_driver(self, tmp_path: Path) -> None:
        files = {
            "/etc/modprobe.d/a.conf": "blacklist igb\n",
            "/lib/modules/6.1.0-28-amd64/modules.alias": "alias pci:v*d*sv*sd*bc02sc*i* igb\n",
        }
        assert ready_host(files=files).read(tmp_path).leftovers.blacklisted_aliases == ()

    def test_the_modalias_is_the_kernels(self) -> None:
        assert modalias_of(X520) == "pci:v00008086d000010FBsv00008086sd00000003bc02sc00i00"
        assert modalias_of(msgspec.structs.replace(X520, device_id=Unknown("denied"))) is None


class TestDefinitions:
    """Devices of VMs that are not what they were."""

    @pytest.mark.parametrize(
        ("devices", "what"),
        [
            (hostdev_xml("0000:09:00.0"), "is not there"),
            (hostdev_xml("0000:00:01.0"), "is a bridge now"),
            (vf_interface_xml("0000:02:00.0", "52:54:00:00:00:01"), "is not a network controller"),
            (hostdev_xml("0000:02:00.0"), None),  # a whole card of another kind may be meant
            (hostdev_xml(NIC), None),
        ],
    )
    def test_each_kind(self, devices: str, what: str | None, tmp_path: Path) -> None:
        functions = (bridge("0000:00:01.0"), nic(NIC, "eth1"), nic("0000:02:00.0", class_code=0x010802, driver="nvme"))
        found = by_code(ready_host(*functions, vms=(Vm(name="web", devices=devices), VM)), tmp_path)
        assert ("HOSTDEV_STALE" in found) is (what is not None)
        if what is not None:
            assert what in found["HOSTDEV_STALE"].sentence
            assert "detach-device web /dev/stdin --config" in found["HOSTDEV_STALE"].command

    def test_without_a_pci_bus_nothing_is_gone(self, tmp_path: Path) -> None:
        host = ready_host(vms=(Vm(name="web", devices=hostdev_xml("0000:09:00.0")),)).read(tmp_path)
        assert not list(check_leftovers(HostIndex(msgspec.structs.replace(host, pci=()))))


class TestUdev:
    """Rules of the administrator."""

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ('ATTR{vendor}=="0x8086", RUN+="/sbin/modprobe vfio-pci"', True),
            ('ATTR{driver_override}="vfio-pci"', True),
            ('# ATTR{driver_override}="vfio-pci"', False),
            ('SUBSYSTEM=="vfio", OWNER="root", GROUP="kvm"', False),
        ],
    )
    def test_rules(self, line: str, found: bool, tmp_path: Path) -> None:
        tree = ready_host(files={"/etc/udev/rules.d/10-x.rules": f"{line}\n"})
        assert ("UDEV_BINDING" in by_code(tree, tmp_path)) is found


LINES = [
    ("options vfio-pci ids=8086:10fb", ""),
    ("options vfio-pci ids=8086:10fb disable_vga=1", "options vfio-pci disable_vga=1\n"),
    ("options vfio_pci disable_vga=1 ids=8086:10fb,8086:1521", "options vfio_pci disable_vga=1\n"),
    ('options vfio-pci ids="8086:10fb,1:2" nointxmask=1', "options vfio-pci nointxmask=1\n"),
    ("options vfio-pci   ids=8086:10fb:8086:*[x]^$/&'\\.", ""),
    ("\toptions  vfio-pci ids=8086:10fb  ", ""),
]
AROUND = "# ids=8086:10fb\noptions vfio-pci-core ids=8086:10fb\n{}options kvm ids=1\n"


@pytest.mark.spawns
@pytest.mark.parametrize(("line", "left"), LINES)
def test_the_command_takes_out_exactly_that(line: str, left: str, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "modprobe.d" / "vf io.conf"
    tree = ready_host(files={"/etc/modprobe.d/vf io.conf": AROUND.format(f"{line}\n")})
    command = by_code(tree, tmp_path)["VFIO_IDS"].command
    subprocess.run(["/bin/sh", "-ec", command.replace("/etc/modprobe.d", str(path.parent))], check=True)
    assert path.read_text() == AROUND.format(left)


@pytest.mark.spawns
def test_a_packages_file_is_left_and_overridden(tmp_path: Path) -> None:
    tree = ready_host(files={"/usr/lib/modprobe.d/a.conf": "blacklist x\nblacklist ixgbe\n", "/etc/modprobe.d/z": ""})
    command = by_code(tree, tmp_path)["DRIVER_BLACKLISTED"].command
    here = re.sub(r"(?<![\w/])/(?=usr/|etc/)", f"{tmp_path}/", command)
    subprocess.run(["/bin/sh", "-ec", here], check=True)
    assert (tmp_path / "usr/lib/modprobe.d/a.conf").read_text() == "blacklist x\nblacklist ixgbe\n"
    assert (tmp_path / "etc/modprobe.d/a.conf").read_text() == "blacklist x\n"


@pytest.mark.parametrize("name", ["x\ny.conf", "ü.conf", "\x1b[2J.conf"])
def test_names_that_no_command_can_carry_get_words(name: str, tmp_path: Path) -> None:
    found = by_code(ready_host(files={f"/etc/modprobe.d/{name}": "blacklist ixgbe\n"}), tmp_path)["DRIVER_BLACKLISTED"]
    assert found.command == ""
    assert "by hand" in found.mend


def test_a_line_that_goes_on_is_left_to_hands(tmp_path: Path) -> None:
    files = {"/etc/modprobe.d/a.conf": "options vfio-pci \\\n ids=8086:10fb\n"}
    assert by_code(ready_host(files=files), tmp_path)["VFIO_IDS"].command == ""


class TestReading:
    """Damaged, hostile, vanishing."""

    def test_a_file_that_vanishes_between_listing_and_reading(self, tmp_path: Path) -> None:
        for folder in ("etc/modprobe.d", "etc/udev/rules.d", "etc/driverctl.d"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "etc/modprobe.d/gone.conf").symlink_to("nowhere")
        (tmp_path / "etc/udev/rules.d/gone.rules").symlink_to("nowhere")
        (tmp_path / f"etc/driverctl.d/pci-{NIC}").symlink_to("nowhere")
        read = read_leftovers(Files(str(tmp_path)), "", "6.1", ())
        assert read.directives == ()
        assert read.unread == ()
        assert read.driverctl[0].driver == ""

    def test_what_is_no_file_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "etc/modprobe.d/a.conf").mkdir(parents=True)
        (unread,) = read_leftovers(Files(str(tmp_path)), "", "6.1", ()).unread
        assert "a.conf" in unread

    @settings(max_examples=10)
    @given(st.binary(max_size=300))
    def test_binary_garbage(self, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
        files = {
            "/etc/modprobe.d/a.conf": content,
            "/etc/udev/rules.d/a.rules": content + b'\nRUN+="vfio-pci"\n',
            f"/etc/driverctl.d/pci-{NIC}": content,
        }
        found = told(ready_host(files=files), tmp_path_factory.mktemp("odd"))
        assert {"UDEV_BINDING", "CLAIMED_BY_DRIVERCTL"} <= {finding.code for finding in found}

    @given(values_of(Leftovers), st.lists(values_of(Directive), max_size=3))
    def test_every_value_can_be_judged(self, left: Leftovers, directives: list[Directive]) -> None:
        left = msgspec.structs.replace(left, directives=(*left.directives, *directives))
        index = HostIndex(Host(pci=(X520,), leftovers=left))
        list(check_leftovers(index))
        list(check_nic_leftovers(X520, index))
