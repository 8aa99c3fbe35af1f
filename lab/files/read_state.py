# SPDX-License-Identifier: Apache-2.0
"""Run on the host by the lab: print what the host is like as JSON. The standard library, ip(8) and libvirt only.

Everything is a tree of objects with leaves of text, numbers and booleans, so that two trees compare path by path.
What changes by itself is left out: indexes, counters, lifetimes.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

PCI = Path("/sys/bus/pci/devices")
NET = Path("/sys/class/net")
# Files that the running system writes by itself.
VOLATILE = {"/etc/resolv.conf", "/etc/mtab", "/etc/adjtime", "/etc/ld.so.cache"}


def read_text(path):
    try:
        return path.read_text(errors="replace").strip()
    except OSError as error:
        return f"({os.strerror(error.errno)})"


def link_name(path):
    return path.readlink().name if path.is_symlink() else None


def ip(*arguments):
    done = subprocess.run(["ip", "-json", *arguments], capture_output=True, check=True)
    return json.loads(done.stdout or b"[]")


def read_pci():
    return {function.name: read_pci_function(function) for function in sorted(PCI.iterdir())}


def read_pci_function(function):
    found = {
        "driver": link_name(function / "driver"),
        "driver_override": read_text(function / "driver_override"),
        "iommu_group": link_name(function / "iommu_group"),
        "id": read_text(function / "vendor") + ":" + read_text(function / "device"),
    }
    if (function / "sriov_numvfs").exists():
        found["sriov_numvfs"] = read_text(function / "sriov_numvfs")
        found["sriov_drivers_autoprobe"] = read_text(function / "sriov_drivers_autoprobe")
    return found


def read_links(links):
    return {link["ifname"]: read_link(link) for link in links}


def read_link(link):
    name = link["ifname"]
    return {
        "mac": link.get("address"),
        # A VF has no permanent MAC: its driver makes one up each time that it is bound.
        "permanent_mac": None if (NET / name / "device/physfn").exists() else link.get("permaddr", link.get("address")),
        "mtu": link["mtu"],
        # Flags that an administrator sets; the others say what became of them.
        "flags": " ".join(sorted(set(link["flags"]) & {"UP", "NOARP", "PROMISC", "ALLMULTI", "MULTICAST"})),
        "operstate": link["operstate"],
        "carrier": read_text(NET / name / "carrier"),
        "master": link.get("master"),
        "lower": link.get("link"),
        "kind": link.get("linkinfo", {}).get("info_kind"),
        "queueing": read_queueing(link),
        "alias": link.get("ifalias"),
        "device": link_name(NET / name / "device"),
        "vfs": {str(vf["vf"]): drop(vf, "vf") for vf in link.get("vfinfo_list", [])},
    }


def read_queueing(link):
    """A link's qdisc: the kernel gives a new link `noop`, and its default, `mq` here, when the link first goes up."""
    return "default" if "UP" not in link["flags"] and link.get("qdisc") in {"noop", "mq"} else link.get("qdisc")


def drop(found, *names):
    return {name: value for name, value in found.items() if name not in names}


def read_addresses(links):
    return {
        f"{link['ifname']} {address['local']}/{address['prefixlen']}": {
            **drop(address, "local", "prefixlen", "valid_life_time", "preferred_life_time"),
            "limited": address.get("valid_life_time", 0) < 4294967295,
        }
        for link in links
        for address in link.get("addr_info", [])
    }


def read_routes():
    found = {}
    for family in ("-4", "-6"):
        for route in ip(family, "-details", "route", "show", "table", "all"):
            words = [family, route.get("table", "main"), route["dst"], "dev", route.get("dev", "-")]
            words += ["via", str(route.get("gateway", "-")), "metric", str(route.get("metric", 0))]
            rest = drop(route, "table", "dst", "dev", "gateway", "metric", "expires", "cache", "used", "age")
            found[" ".join(words)] = {name: str(value) for name, value in rest.items()}
    return found


def read_rules():
    found = {}
    for family in ("-4", "-6"):
        for rule in ip(family, "rule", "show"):
            found[f"{family} " + " ".join(f"{name} {value}" for name, value in rule.items())] = True
    return found


def read_neighbours():
    """The neighbour entries that somebody entered, the permanent ones; the others come and go."""
    return {
        f"{entry.get('dev', '-')} {entry['dst']}": entry.get("lladdr")
        for entry in ip("neigh", "show", "nud", "permanent")
    }


def read_domains():
    import libvirt

    connection = libvirt.openReadOnly("qemu:///system")
    inactive = libvirt.VIR_DOMAIN_XML_INACTIVE
    return {
        domain.name(): {
            "state": domain.state()[0],
            "persistent": domain.isPersistent(),
            "autostart": domain.autostart(),
            "xml": domain.XMLDesc(inactive if domain.isPersistent() else 0),
        }
        for domain in connection.listAllDomains()
    }


def hash_files(*folders):
    """Each file's path to its mode and a hash of its content; of a symbolic link, where it leads."""
    paths = (Path(at) / name for top in folders for at, _, names in os.walk(top) for name in names)
    return {str(path): hash_file(path) for path in sorted(paths) if str(path) not in VOLATILE}


def hash_file(path):
    if path.is_symlink():
        return f"-> {path.readlink()}"
    if not path.is_file():
        return "(special)"
    return f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def read_state():
    links = ip("-details", "address", "show")
    return {
        "pci": read_pci(),
        "links": read_links(links),
        "addresses": read_addresses(links),
        "routes": read_routes(),
        "rules": read_rules(),
        "neighbours": read_neighbours(),
        "domains": read_domains(),
        "files": hash_files("/etc", "/var/lib/nicpass"),
        "modules": {line.split()[0]: True for line in Path("/proc/modules").read_text().splitlines()},
    }


json.dump(read_state(), sys.stdout)
