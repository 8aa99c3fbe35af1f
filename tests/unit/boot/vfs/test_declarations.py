# SPDX-License-Identifier: Apache-2.0
"""What is written so that VFs last: read back as it was meant, and gone without a trace."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.vfs.declaration import address_of, parse_declaration, render_declaration
from nicpass.boot.vfs.plan import ENABLED, PATH, RULES, SERVICE, WATCHED, plan_declarations
from nicpass.boot.vfs.units import DUE
from nicpass.model.binding import DamagedFile
from nicpass.model.boot import BootChange, invert_boot_change
from nicpass.model.declared_vfs import FOLDER, DeclaredVfs, path_of
from nicpass.model.file_image import FileImage, Folder, RegularFile
from tests.support.declared_vfs import VFS, declared

OTHER = declared(2, name="0000:02:00.1")
Images = dict[str, FileImage | None]


def after(change: BootChange, images: Images) -> Images:
    """What stands there once the change is made."""
    found = images | {file.path: file.after for file in change.files}
    return {path: image for path, image in found.items() if image is not None}


def plan(images: Images, *declarations: DeclaredVfs) -> BootChange:
    return plan_declarations(images, declarations, "/opt/nic pass/bin/python", "/opt/nic pass/nicpass")


@given(st.integers(1, 4), st.booleans(), st.sampled_from(["0000:01:00.0", "10001:fe:1f.7"]))
def test_a_declaration_is_read_as_it_was_written(count: int, for_host: bool, name: str) -> None:
    one = msgspec.structs.replace(declared(count, name=name), for_host=for_host)
    image = render_declaration(one)
    assert parse_declaration(path_of(one).rpartition("/")[2], image.content) == one
    assert address_of(path_of(one)) == one.address


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b"{}", "missing"),
        (b'{"address": 1}', "str"),
        (msgspec.json.encode(msgspec.structs.replace(declared(), count=0)), "there cannot be 0 VFs"),
        (msgspec.json.encode(msgspec.structs.replace(declared(), count=1 << 16)), "there cannot be 65536 VFs"),
        (msgspec.json.encode(msgspec.structs.replace(declared(), count=3)), "there is not to be"),
        (msgspec.json.encode(msgspec.structs.replace(declared(), vfs=(VFS[0], VFS[0]))), "a VF twice"),
        (msgspec.json.encode(declared()).replace(b'"count"', b'"amount"'), "unknown field"),
        (b"[" * 200_000, "expected"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_what_is_not_plain_is_damaged(content: bytes, reason: str) -> None:
    found = parse_declaration("0000:01:00.0.json", content)
    assert isinstance(found, DamagedFile)
    assert reason.lower() in found.reason.lower()


def test_a_file_of_another_name_is_damaged() -> None:
    assert isinstance(parse_declaration("0000:02:00.0.json", render_declaration(declared()).content), DamagedFile)


def test_all_that_is_written_goes_again() -> None:
    hosts: Images = {"/etc/systemd/system": Folder(), "/etc/udev/rules.d": Folder()}
    made = after(plan(hosts, declared(), OTHER), hosts)
    assert {SERVICE, PATH, RULES, ENABLED, WATCHED, path_of(declared()), path_of(OTHER)} <= set(made)
    assert not plan(made, declared(), OTHER), "a second time there is nothing to do"
    fewer = after(plan(made, OTHER), made)
    assert (path_of(declared()) in fewer, path_of(OTHER) in fewer) == (False, True)
    gone = after(plan(fewer), fewer)
    assert not [path for path in gone if "nicpass" in path]


def test_what_is_enabled_at_boot_is_written_after_what_it_needs() -> None:
    paths = [file.path for file in plan({}, declared()).files]
    assert paths.index(path_of(declared())) < paths.index(SERVICE) < paths.index(ENABLED)
    assert paths.index(FOLDER) < paths.index(path_of(declared()))


def test_systemd_reads_the_units_before_it_starts_one_and_after_one_is_stopped() -> None:
    change = plan({}, declared())
    assert [generator.argv[1] for generator in change.generators] == ["daemon-reload", "control", "start"]
    assert [generator.argv[1] for generator in invert_boot_change(change).generators] == [
        "stop",
        "control",
        "daemon-reload",
    ]
    removed = plan(after(change, {}))
    assert [generator.argv[1] for generator in removed.generators] == ["stop", "control", "daemon-reload"]


def test_a_damaged_file_stays() -> None:
    path = f"{FOLDER}/0000:09:00.0.json"
    images: Images = {path: RegularFile(b"count: 4\n")}
    made = after(plan(images, declared()), images)
    assert made[path] == images[path]


def test_the_unit_names_this_nicpass_and_the_rule_the_pfs_kind() -> None:
    images = after(plan({}, declared()), {})
    unit, rules = images[SERVICE], images[RULES]
    assert isinstance(unit, RegularFile)
    assert isinstance(rules, RegularFile)
    assert b'ExecStart="/opt/nic pass/bin/python" -I -m nicpass vf restore\n' in unit.content
    assert b'ATTRS{vendor}=="0x8086", ATTRS{device}=="0x10fb"' in rules.content
    assert DUE.encode() in rules.content
    assert DUE.encode() in unit.content
