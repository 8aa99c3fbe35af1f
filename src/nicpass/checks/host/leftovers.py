# SPDX-License-Identifier: Apache-2.0
"""Leftovers of earlier hands: bindings by ids, overrides, blacklists, and definitions that name a lost device."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.device.claims import check_claims
from nicpass.checks.lookup.nics import is_bridge, is_nic, label, on_vfio
from nicpass.model.fact import known, value_or
from nicpass.model.language import _
from nicpass.model.pci import modalias_of
from nicpass.model.text import quote, vm_word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.domain import Domain, DomainDevice
    from nicpass.model.finding import Finding
    from nicpass.model.leftovers import Directive
    from nicpass.model.pci import PciFunction

make_finding = Finder("host.leftovers")

_CMDLINE = "/proc/cmdline"
_FIELDS = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id", "class_code")
_ANY = 0xFFFFFFFF  # PCI_ANY_ID
_SUBSYSTEM = 2  # where in _FIELDS the ids begin that may be any
# Commands of sed(1) take these bytes as they are; anything else in a line is not put into a command.
_PLAIN_LINE = r"[\x20-\x7e\t]+"


def check_leftovers(index: HostIndex) -> Iterator[Finding]:
    """Findings about leftovers that concern the host, whichever NIC is meant."""
    left = index.host.leftovers
    yield from _check_ids(index)
    for rule in left.udev_rules:
        command = _remove_line(rule.path, rule.text)
        yield make_finding(
            "UDEV_BINDING",
            evidence=((rule.path, rule.text),),
            path=rule.path,
            mend=_advise_edit(rule.path, command),
            command=f"{command}\nudevadm control --reload" if command else "",
        )
    yield from _check_definitions(index)
    if left.unread:
        evidence = tuple((reason.rpartition(": ")[2], reason) for reason in left.unread)
        yield make_finding("LEFTOVERS_UNREAD", evidence=evidence, reason="; ".join(left.unread))


def check_nic_leftovers(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Findings about leftovers that concern one NIC."""
    yield from _check_binding(function, index)
    yield from check_claims(function, index)
    yield from _check_blacklist(function, index)


# ids= of vfio-pci


def parse_ids(text: str) -> tuple[int, ...] | None:
    """The ids in `8086:10fb[:subvendor[:subdevice[:class[:mask]]]]`, hexadecimal, as vfio_pci_fill_ids() reads them."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 6 or not all(re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,8}", part) for part in parts):
        return None
    return tuple(int(part, 16) for part in parts)


def ids_match(ids: tuple[int, ...], function: PciFunction) -> bool:
    """Whether ids match, as pci_match_one_device() in drivers/pci/pci.h: any subsystem unless named; masked class."""
    for number, (wanted, field) in enumerate(zip(ids, _FIELDS[:4], strict=False)):
        if getattr(function, field) != wanted and not (number >= _SUBSYSTEM and wanted == _ANY):
            return False
    mask = ids[5] if len(ids) > 5 else 0
    return not mask or (known(function.class_code) and (function.class_code ^ ids[4]) & mask == 0)


def _ids_of(directive: Directive) -> list[str]:
    """The values of `ids=` among a module's options; quotes may stand around them."""
    found = re.findall(r"(?:^|\s)ids=(\"[^\"]*\"|\S*)", directive.value)
    return [part for value in found for part in value.strip('"').split(",") if part]


def _id_directives(index: HostIndex) -> Iterator[tuple[Directive, list[str]]]:
    for directive in index.host.leftovers.directives:
        if directive.command == "options" and directive.module == "vfio_pci" and (ids := _ids_of(directive)):
            yield directive, ids


def _check_ids(index: HostIndex) -> Iterator[Finding]:
    for directive, ids in _id_directives(index):
        taken = _cards(index, ids)
        command = _remove_option(directive)
        yield make_finding(
            "VFIO_IDS",
            evidence=((directive.path, directive.text),),
            ids=", ".join(ids),
            source=directive.path,
            cards=taken or _("none"),
            mend=_advise_edit(directive.path, command, directive.text),
            command=command,
        )
    loaded = index.host.leftovers.loaded_ids
    if known(loaded) and loaded:
        path = "/sys/module/vfio_pci/parameters/ids"
        ids = loaded.split(",")
        mend = _("Find where it is set, take it out there, and unload vfio-pci or reboot.")
        yield make_finding(
            "VFIO_IDS",
            evidence=((path, loaded),),
            ids=", ".join(ids),
            source=path,
            cards=_cards(index, ids) or _("none"),
            mend=mend,
            command="",
        )


def _cards(index: HostIndex, ids: Iterable[str]) -> str:
    parsed = [each for text in ids if (each := parse_ids(text)) is not None]
    return ", ".join(label(f) for f in index.host.pci if any(ids_match(each, f) for each in parsed))


# Bindings of one NIC


def _check_binding(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """The finding about a NIC on VFIO that neither an override nor ids= explains: then ids were given by new_id."""
    vendor, device = function.vendor_id, function.device_id
    if not on_vfio(function) or function.driver_override is not None or not (known(vendor) and known(device)):
        return
    explained = [each for _d, ids in _id_directives(index) for text in ids if (each := parse_ids(text)) is not None]
    if any(ids_match(each, function) for each in explained):
        return
    if function.address in index.owners or function.address in index.boot_bindings:
        return
    folder = f"/sys/bus/pci/devices/{function.address}"
    ids = f"{vendor:04x}:{device:04x}"
    others = [f for f in index.host.pci if ids_match((vendor, device), f) and f.address != function.address]
    yield make_finding(
        "BOUND_BY_NEW_ID",
        function.address,
        ((f"{folder}/driver", function.driver), (f"{folder}/driver_override", "none")),
        nic=label(function),
        driver=function.driver,
        ids=ids,
        cards=", ".join(label(f) for f in others) or _("no other card here"),
        remove=quote(ids.replace(":", " ")),
        remove_id=quote(f"/sys/bus/pci/drivers/{function.driver}/remove_id"),
        unbind=quote(f"/sys/bus/pci/drivers/{function.driver}/unbind"),
        address=function.address,
    )


def _check_blacklist(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Blacklists of the driver that the NIC has, or of one that it could have while it has none of its own."""
    left = index.host.leftovers
    alias = modalias_of(function) if left.blacklisted_aliases else None
    wanted = {function.driver.replace("-", "_")} if known(function.driver) and not on_vfio(function) else set()
    if alias is not None and not wanted:
        wanted = {each.module for each in left.blacklisted_aliases if fnmatch.fnmatchcase(alias, each.pattern)}
    for directive in left.directives:
        if directive.module in wanted and _keeps_from_loading(directive):
            command = _remove_line(directive.path, directive.text) if directive.path != _CMDLINE else ""
            yield make_finding(
                "DRIVER_BLACKLISTED",
                function.address,
                ((directive.path, directive.text),),
                nic=label(function),
                module=directive.module,
                source=directive.path,
                text=directive.text.strip(),
                mend=_advise_edit(directive.path, command, directive.text),
                command=command,
            )


def _keeps_from_loading(directive: Directive) -> bool:
    if directive.command == "install":
        return directive.value.split()[:1] in ([], ["/bin/false"], ["/bin/true"], ["/usr/bin/false"], ["/usr/bin/true"])
    return directive.command == "blacklist"


# Definitions of VMs


def _check_definitions(index: HostIndex) -> Iterator[Finding]:
    """Stale devices of VMs, only what is certain: a card that is gone, a bridge, and an interface that is no NIC."""
    if not index.host.pci:
        return  # a capture without the PCI bus: nothing can be said to be gone
    for domain in value_or(index.host.domains, ()):
        for device in domain.config_devices:
            what = _why_stale(device, index)
            if what is not None:
                yield make_finding(
                    "HOSTDEV_STALE",
                    evidence=((_("libvirt, domain definition"), f"{domain.name}: {device.address}"),),
                    vm=domain.name,
                    address=device.address,
                    what=what,
                    command=_detach(domain, device),
                )


def _why_stale(device: DomainDevice, index: HostIndex) -> str | None:
    function = index.functions.get(device.address)
    if function is None:
        return _("is not there")
    if is_bridge(function):
        return _("is a bridge now")
    if device.element == "interface" and known(function.class_code) and not is_nic(function):
        return _("is not a network controller")
    return None


def _detach(domain: Domain, device: DomainDevice) -> str:
    name, lines = vm_word(domain.name, domain.uuid), (device.xml or "").strip().split("\n")
    # A line that a terminal would not show as it is, or that ends the text, could not be pasted.
    if lines == [""] or "NICPASS_XML" in lines or not all(map(str.isprintable, lines)):
        return f"virsh edit {name}"
    return "\n".join([f"virsh detach-device {name} /dev/stdin --config <<'NICPASS_XML'", *lines, "NICPASS_XML"])


# Commands that take one line out of a file


def _remove_option(directive: Directive) -> str:
    """The command that takes ids= out of the directive's line, or the whole line where nothing else is on it."""
    if directive.path == _CMDLINE:
        return ""
    rest = re.sub(r"(?:^|\s)ids=(\"[^\"]*\"|\S*)", "", directive.value).strip()
    if not rest:
        return _remove_line(directive.path, directive.text)
    return _sed(directive.path, directive.text, r's/[[:space:]]ids=\("[^"]*"\|[^[:space:]]*\)//g')


def _remove_line(path: str, text: str) -> str:
    return _sed(path, text, "d")


def _sed(path: str, text: str, action: str) -> str:
    """The command for lines of a file that read just so. A package's file is overridden by its namesake in /etc."""
    line = text.strip()
    if not re.fullmatch(_PLAIN_LINE, line) or not re.fullmatch(_PLAIN_LINE, path):
        return ""
    pattern = re.sub(r"([][\\.*^$/])", r"\\\1", line)
    script = quote(f"/^[[:space:]]*{pattern}[[:space:]]*$/{action}")
    folder, _slash, name = path.rpartition("/")
    if folder.startswith(("/etc/", "/run/")):
        return f"sed -i {script} {quote(path)}"
    target = quote(f"/etc/{folder.rsplit('/', 1)[-1]}/{name}")
    return f"cp -- {quote(path)} {target} && sed -i {script} {target}"


def _advise_edit(path: str, command: str, text: str = "") -> str:
    if path == _CMDLINE:
        return _("Take {argument} out of the kernel's arguments and reboot.").format(argument=text)
    if not command:
        return _("Take the line out of {path} by hand.").format(path=path)
    if "/udev/" in path:
        return _("Take the line out of the file; what it has bound stays bound until it is given back.")
    return _(
        "Take it out of the file, then make the initramfs anew (update-initramfs -u, or dracut -f), which may hold a "
        "copy, and reboot."
    )
