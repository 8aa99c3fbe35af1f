# SPDX-License-Identifier: Apache-2.0
"""GRUB's blscfg: entries whose arguments stand in variables, of grubenv or of grub.cfg, or nowhere."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.boot.loader import choice as loaders
from nicpass.boot.loader.edits import CMDLINE
from nicpass.boot.loader.grub_menu import parse_variables
from nicpass.model.errors import BadInputError
from nicpass.model.fact import Unknown, why_unknown
from tests.support.boot import GRUB2_PROGRAMS, MENU_FOOT, MENU_HEAD, MKCONFIG, BootTree, after_change, grubenv
from tests.support.reports import lay_out, run_on

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.boot import Boot

TOKENS = ("intel_iommu=on",)
FALLBACK = 'if [ -z "${kernelopts}" ]; then\n  set kernelopts="root=/dev/vda1 ro amd_iommu=off "\nfi\n'
TUNED = 'set tuned_params="skew_tick=1 iommu=pt"\nset tuned_initrd=""\n'
ENTRIES = "/boot/loader/entries"


def entry(kernel: str, options: str | None) -> str:
    line = "" if options is None else f"options {options}\n"
    return f"title Linux {kernel}\nversion {kernel}\nlinux /vmlinuz-{kernel}\ninitrd /i-{kernel} $tuned_initrd\n{line}"


def red_hat(
    options: str | None = "$kernelopts $tuned_params",
    config: str = FALLBACK,
    rescue: str | None = None,
    environment: bytes | None = None,
) -> BootTree:
    files = {f"{ENTRIES}/a-4.18.0.conf": entry("4.18.0", options)}
    files |= {f"{ENTRIES}/a-0-rescue.conf": entry("0-rescue", rescue)} if rescue is not None else {}
    return BootTree(
        programs=GRUB2_PROGRAMS,
        mkconfig=MKCONFIG,
        folder="/boot/grub2",
        menu=f"{MENU_HEAD % '${saved_entry}'}{config}insmod blscfg\nblscfg\n{MENU_FOOT}",
        environment=grubenv(saved_entry="a-4.18.0") if environment is None else environment,
        files=dict(files),
    )


def with_environment(boot: Boot, **values: str) -> Boot:
    """The boot facts after grub2-editenv has written these variables."""
    files = tuple(
        msgspec.structs.replace(file, content=grubenv(**values)) if file.path.endswith("/grubenv") else file
        for file in boot.files
    )
    return msgspec.structs.replace(boot, files=files)


class TestVariables:
    """What `$NAME` of an entry is to GRUB."""

    @pytest.mark.parametrize(
        ("config", "environment", "arguments"),
        [
            (FALLBACK, {}, "root=/dev/vda1 ro amd_iommu=off"),
            (FALLBACK, {"kernelopts": "root=/dev/vdb1"}, "root=/dev/vdb1"),
            (FALLBACK, {"kernelopts": ""}, "root=/dev/vda1 ro amd_iommu=off"),
            (FALLBACK + TUNED, {"tuned_params": "old"}, "root=/dev/vda1 ro amd_iommu=off skew_tick=1 iommu=pt"),
            ("", {}, ""),
        ],
    )
    def test_the_next_boots_arguments(
        self, config: str, environment: dict[str, str], arguments: str, tmp_path: Path
    ) -> None:
        boot = red_hat(config=config, environment=grubenv(saved_entry="a-4.18.0", **environment)).read(tmp_path)
        assert loaders.arguments_of_next_boot(boot) == arguments

    @pytest.mark.parametrize(
        "config",
        [
            'set kernelopts="${other} ro"\n',
            'if [ "${x}" = y ]; then\n  set kernelopts="root=/dev/vda1"\nfi\n',
            FALLBACK + FALLBACK.replace("vda1", "vdb1"),
        ],
    )
    def test_what_only_grub_can_tell_is_unknown(self, config: str, tmp_path: Path) -> None:
        answer = loaders.arguments_of_next_boot(red_hat(config=config).read(tmp_path))
        assert "only the loader knows" in (why_unknown(answer) or "")

    def test_a_setting_without_a_condition_beats_grubenv(self) -> None:
        found = parse_variables(FALLBACK + TUNED)
        assert found.value_of("tuned_params", {"tuned_params": "mine"}) == "skew_tick=1 iommu=pt"
        assert found.value_of("tuned_initrd", {}) == ""
        assert found.value_of("other", {}) is None
        assert isinstance(parse_variables("  set x=1\n").value_of("x", {"x": "2"}), Unknown)


class TestTrial:
    """The copy of the default entry, which must boot as that one does."""

    @pytest.mark.parametrize("config", [FALLBACK, FALLBACK + TUNED, 'set kernelopts="${root_of_it} ro"\n'])
    def test_the_entrys_variables_stay(self, config: str, tmp_path: Path) -> None:
        change = loaders.plan_trial(red_hat(config=config).read(tmp_path), TOKENS)
        (made,) = change.files
        assert b"\noptions $kernelopts $tuned_params intel_iommu=on panic=30\n" in made.after.content  # type: ignore[union-attr]

    @pytest.mark.parametrize("tree", ["tree", "full"])
    def test_the_report_of_an_entry_without_root(self, tree: str, tmp_path: Path) -> None:
        root = lay_out(f"h03-bls-trial-entry-without-root/{tree}", tmp_path)
        code, told = run_on(root, "prepare", "--dry-run=shell")
        assert code == 0
        assert "options $kernelopts $tuned_params intel_iommu=on panic=30" in told


class TestShared:
    """`kernelopts` of grubenv, from which entries take their arguments."""

    def test_it_is_made_of_the_fallback_and_taken_out_again(self, tmp_path: Path) -> None:
        boot = red_hat().read(tmp_path)
        change = loaders.plan_arguments(boot, TOKENS)
        value = "kernelopts=root=/dev/vda1 ro amd_iommu=off intel_iommu=on"
        assert [each.argv for each in change.generators] == [("grub2-editenv", "-", "set", value)]
        assert change.generators[0].back == ("grub2-editenv", "-", "unset", "kernelopts")
        now = with_environment(
            after_change(boot, change), saved_entry="a-4.18.0", kernelopts=value.removeprefix("kernelopts=")
        )
        assert not loaders.plan_arguments(now, TOKENS)
        taken = loaders.plan_removal(now)
        assert [each.argv for each in taken.generators] == [("grub2-editenv", "-", "unset", "kernelopts")]
        assert {change.path for change in taken.files} == {"/var/lib/nicpass/boot-edits.json"}

    def test_one_that_was_there_stays_there(self, tmp_path: Path) -> None:
        same = "root=/dev/vda1 ro amd_iommu=off"
        boot = red_hat(environment=grubenv(saved_entry="a-4.18.0", kernelopts=same)).read(tmp_path)
        now = with_environment(
            after_change(boot, loaders.plan_arguments(boot, TOKENS)), kernelopts=f"{same} {TOKENS[0]}"
        )
        assert [each.argv[2:] for each in loaders.plan_removal(now).generators] == [("set", f"kernelopts={same}")]

    def test_where_it_is_nowhere_nothing_is_tried(self, tmp_path: Path) -> None:
        boot = red_hat(config="").read(tmp_path)
        with pytest.raises(BadInputError, match="neither /boot/grub2/grubenv nor"):
            loaders.plan_arguments(boot, TOKENS)

    def test_a_rescue_entry_alone_blocks_nothing(self, tmp_path: Path) -> None:
        boot = red_hat("root=/dev/vda1 ro", rescue="root=/dev/vda1 $kernelopts").read(tmp_path)
        change = loaders.plan_arguments(boot, TOKENS)
        paths = [change.path for change in change.files]
        assert f"{ENTRIES}/a-4.18.0.conf" in paths
        assert f"{ENTRIES}/a-0-rescue.conf" not in paths
        assert not change.generators

    @pytest.mark.parametrize("tree", ["tree", "full"])
    def test_the_report_of_a_rescue_entry(self, tree: str, tmp_path: Path) -> None:
        root = lay_out(f"h07-rescue-entry-blocks-bls-prepare/{tree}", tmp_path)
        code, told = run_on(root, "prepare", "--dry-run")
        assert code == 0
        assert "5.14.0-570.30.1.el9_6.x86_64.conf" in told
        assert "rescue" not in told

    @pytest.mark.parametrize("content", [b"", b"# GRUB Environment Block\nkernelopts=root=/dev/vda1\n", b"x" * 1024])
    def test_a_grubenv_that_is_none_is_said_to_be_none(self, content: bytes, tmp_path: Path) -> None:
        boot = red_hat(environment=content).read(tmp_path)
        with pytest.raises(BadInputError, match="no environment block"):
            loaders.plan_arguments(boot, TOKENS)

    def test_an_entry_without_options_is_not_given_ours_alone(self, tmp_path: Path) -> None:
        boot = red_hat(None).read(tmp_path)
        with pytest.raises(BadInputError, match="no line `options`"):
            loaders.plan_arguments(boot, TOKENS)
        other = dataclasses.replace(red_hat("root=/dev/vda1"), files={
            f"{ENTRIES}/a-4.18.0.conf": entry("4.18.0", "root=/dev/vda1"), f"{ENTRIES}/a-0.conf": entry("0", None)
        })  # fmt: skip
        changed = {change.path for change in loaders.plan_arguments(other.read(tmp_path / "other"), TOKENS).files}
        assert f"{ENTRIES}/a-0.conf" not in changed
        assert CMDLINE not in changed
