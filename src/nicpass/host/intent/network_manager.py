# SPDX-License-Identifier: Apache-2.0
"""NetworkManager: its profiles in key files, whom it leaves alone, and the profile that it makes by itself.

Sources: NetworkManager.conf(5), nm-settings-keyfile(5), src/libnm-core-aux-intern/nm-common-macros.h and
src/libnm-glib-aux (`nm_match_spec_*`), src/core/settings/nm-settings.c (`have_connection_for_device`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nicpass.host.intent.patterns import matches
from nicpass.host.network.managers import NM_DEVICES, parse_keyfile
from nicpass.model.network import NETWORK_MANAGER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.intent.nic import Nic
    from nicpass.host.intent.reading import Reading

UNIT = "NetworkManager.service"
CONFIGURATION = "/etc/NetworkManager/NetworkManager.conf"
_PROFILES = tuple(f"{place}/NetworkManager/system-connections" for place in ("/etc", "/run", "/usr/lib"))
_DROP_INS = tuple(f"{place}/NetworkManager/conf.d" for place in ("/etc", "/run", "/usr/lib"))
_DENIED = "/var/lib/NetworkManager/no-auto-default.state"
_RULES = "/etc/udev/rules.d"
_FALSE = ("false", "0", "no", "off")
_TYPES = {
    **dict.fromkeys(("ethernet", "802-3-ethernet"), "ether"),
    **dict.fromkeys(("wifi", "802-11-wireless"), "wlan"),
    "infiniband": "infiniband",
}
_HARDWARE = ("ethernet", "802-3-ethernet", "wifi", "802-11-wireless", "infiniband")
_BELOW = ("parent", "port1", "port2", "device")
"""Of VLANs, macvlans, VXLANs, PPPoE, MACsec, IP tunnels, HSR: the interface below, by its name, MAC, or a profile."""
_IGNORED = (".bak", ".rpmnew", ".rpmsave", ".rpmorig", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".swp", "~")

Sections: TypeAlias = "dict[str, dict[str, str]]"


class Profile(msgspec.Struct, frozen=True):
    path: str
    sections: Sections

    @property
    def kind(self) -> str:
        return self.get("connection", "type")

    def get(self, section: str, *keys: str) -> str:
        """The first of these keys that says something: newer names first."""
        found = self.sections.get(section, {})
        return next((found[key] for key in keys if found.get(key)), "")

    def hardware(self, *keys: str) -> str:
        return next((value for section in _HARDWARE if (value := self.get(section, *keys))), "")


class Configuration(msgspec.Struct, frozen=True):
    """NetworkManager.conf with its drop-ins, the most important first."""

    files: list[tuple[str, list[tuple[str, str, str]]]]

    def values(self, section: str, key: str) -> str:
        """The list that counts, with what `+=` adds to it."""
        value = ""
        for _path, lines in reversed(self.files):
            for where, name, text in lines:
                if where == section and name.rstrip("+-") == key:
                    value = f"{value};{text}" if name.endswith("+") else value if name.endswith("-") else text
        return value


def read_intents(reading: Reading, stanzas: set[str], provided: set[str]) -> None:
    """By profiles, and by the one that NetworkManager makes by itself.

    `stanzas` are the NICs that ifupdown's files have, `provided` those that have a profile in an ifcfg file.
    """
    profiles = read_profiles(reading)
    if not reading.is_at_work(UNIT):
        return
    configuration = read_configuration(reading)
    makes_own = reading.files.exists(CONFIGURATION) or bool(configuration.files) or reading.files.exists(NM_DEVICES)
    if not profiles and not makes_own:
        return
    denied = parse_keyfile((reading.read(_DENIED) or "").splitlines()).get("main", {}).get("no-auto-default", "")
    by_udev = _has_rules(reading)
    for nic in reading.nics:
        if by_udev and _is_left_to_udev(reading, nic):
            continue
        if is_left_alone(nic, configuration) or (nic.name in stanzas and not _manages_stanzas(configuration)):
            continue
        for profile in profiles:
            _tell(reading, nic, profile, profiles)
        if makes_own and nic.name not in provided and _is_free_for_own(nic, configuration, denied, profiles):
            text = f"{NETWORK_MANAGER}: no-auto-default does not name it, and no profile is for it"
            reading.add(nic, NETWORK_MANAGER, "configure", CONFIGURATION, text)


def read_profiles(reading: Reading) -> list[Profile]:
    """All key files; of two with the same UUID the one in /etc (nm-settings-keyfile(5))."""
    found: list[Profile] = []
    seen: set[str] = set()
    for folder in _PROFILES:
        names = [name for name in reading.names(folder) if _is_profile(name, folder)]
        for path, text in reading.texts(f"{folder}/{name}" for name in names):
            profile = Profile(path, parse_keyfile(text.splitlines()))
            uuid = profile.get("connection", "uuid")
            if uuid not in seen and profile.sections:
                seen.add(uuid or path)
                found.append(profile)
    return found


def _is_profile(name: str, folder: str) -> bool:
    if name.startswith(".") or name.endswith((*_IGNORED, ".nmmeta")):
        return False
    return folder.startswith("/etc/") or name.endswith(".nmconnection")


def read_configuration(reading: Reading) -> Configuration:
    drop_ins = reading.overlay(_DROP_INS, (".conf",))
    own = [path for path in drop_ins.values() if path.startswith("/etc/")]
    others = [path for path in drop_ins.values() if not path.startswith("/etc/")]
    paths = [*reversed(own), CONFIGURATION, *reversed(others)]
    return Configuration([(path, [*_read_lines(text)]) for path, text in reading.texts(paths)])


def _read_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """(Section, key, value); `+` or `-` at a key's end is kept."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif "=" in line and not line.startswith(("#", ";")):
            key, _equals, value = line.partition("=")
            yield section, key.strip(), value.strip()


def is_left_alone(nic: Nic, configuration: Configuration) -> bool:
    """Whether the configuration says so, for `unmanaged-devices` or for `managed=0`."""
    return fits_spec(configuration.values("keyfile", "unmanaged-devices"), nic) or _managed(nic, configuration) is False


def _has_rules(reading: Reading) -> bool:
    """Whether a rule of the administrator's tells NetworkManager, by udev, to leave anything alone."""
    paths = (f"{_RULES}/{name}" for name in reading.names(_RULES) if name.endswith(".rules"))
    return any("NM_UNMANAGED" in text for _path, text in reading.texts(paths))


def _is_left_to_udev(reading: Reading, nic: Nic) -> bool:
    index = reading.files.read_int(f"/sys/class/net/{nic.name}/ifindex")
    return "E:NM_UNMANAGED=1" in (reading.read(f"/run/udev/data/n{index}") or "").splitlines()


def _managed(nic: Nic, configuration: Configuration) -> bool | None:
    """What the first `[device*]` section that means it and says so has; a section without `match-device` means all."""
    for _path, lines in configuration.files:
        sections: dict[str, dict[str, str]] = {}
        for section, key, value in lines:
            if section.startswith("device"):
                sections.setdefault(section, {})[key] = value
        for found in sections.values():
            if "managed" in found and ("match-device" not in found or fits_spec(found["match-device"], nic)):
                return found["managed"].lower() not in _FALSE
    return None


def _manages_stanzas(configuration: Configuration) -> bool:
    """Debian's plugin `ifupdown` leaves what /etc/network/interfaces names to that, unless it is told to manage it."""
    plugins = configuration.values("main", "plugins")
    return "ifupdown" not in plugins or configuration.values("ifupdown", "managed").lower() in ("true", "1", "yes")


def fits_spec(spec: str, nic: Nic) -> bool:
    """Whether a list of devices means it ("Device List Format" in NetworkManager.conf(5)).

    A word that is not understood does not; `except:` takes out; a list of nothing but these means all others.
    """
    words = [word.strip() for word in re.split(r"[;,]", spec) if word.strip()]
    taken_out = [word.removeprefix("except:") for word in words if word.startswith("except:")]
    named = [word for word in words if not word.startswith("except:")]
    if any(_fits_word(word, nic) for word in taken_out):
        return False
    return any(_fits_word(word, nic) for word in named) or (bool(taken_out) and not named)


def _fits_word(word: str, nic: Nic) -> bool:
    tag, colon, value = word.partition(":")
    if word == "*":
        return True
    if tag == "interface-name" and colon:
        if value.startswith(("=", "~")):
            return value[1:] == nic.name if value[0] == "=" else matches(value[1:], nic.name)
        return matches(value, nic.name)
    if tag == "mac" and colon:
        return nic.has_mac([value])
    if tag == "driver" and colon:
        return nic.driver is not None and matches(value.split("/")[0], nic.driver)
    if tag == "type" and colon:
        return _TYPES.get(value) == nic.kind
    return word == nic.name or nic.has_mac([word])


def _is_free_for_own(nic: Nic, configuration: Configuration, denied: str, profiles: list[Profile]) -> bool:
    """Whether NetworkManager makes a "Wired connection" of its own for it."""
    if nic.kind != "ether" or any(is_for(profile, nic) for profile in profiles):
        return False
    return not fits_spec(configuration.values("main", "no-auto-default"), nic) and not fits_spec(denied, nic)


def is_for(profile: Profile, nic: Nic) -> bool:
    """Whether the profile can be brought up on this NIC: nothing in it says that it is another's."""
    if _TYPES.get(profile.kind) != nic.kind:
        return False
    name = profile.get("connection", "interface-name")
    mac = profile.hardware("mac-address")
    if (name and name not in nic.names) or (mac and not nic.has_mac([mac])):
        return False
    denied = profile.hardware("mac-address-denylist", "mac-address-blacklist")
    if denied and nic.has_mac(re.split(r"[;,\s]+", denied)):
        return False
    tests = {"interface-name": [*nic.names], "driver": [nic.driver or ""], "path": [nic.path or ""]}
    return all(_fits_match(profile.get("match", key), [*filter(None, tests[key])]) for key in tests)


def _fits_match(words: str, values: list[str]) -> bool:
    """`[match]`: `!` takes out, `&` demands, others are one of several; where the value is unknown it may fit."""
    patterns = [word for word in re.split(r"[;,\s]+", words.replace("|", "")) if word]
    if not patterns or not values:
        return True
    found = False
    positive = False
    for word in patterns:
        pattern = word.lstrip("&!")
        hit = any(matches(pattern, value) for value in values)
        if "!" in word[:2]:
            if hit:
                return False
            continue
        positive = True
        if word.startswith("&") and not hit:
            return False
        found |= hit
    return found or not positive


def _tell(reading: Reading, nic: Nic, profile: Profile, profiles: list[Profile]) -> None:
    identity = profile.get("connection", "interface-name")
    who = f"id={profile.get('connection', 'id')}"
    if _TYPES.get(profile.kind) is None:
        below = [(key, value) for keys in profile.sections.values() for key, value in keys.items() if key in _BELOW]
        for key, value in below:
            if nic.is_meant(value) or any(_has_uuid(other, value) and is_for(other, nic) for other in profiles):
                reading.add(nic, NETWORK_MANAGER, "parent", profile.path, f"{who}: {key}={value}", identity)
        if profile.kind == "pppoe" and not below and identity in nic.names:
            reading.add(nic, NETWORK_MANAGER, "parent", profile.path, f"{who}: interface-name={identity}", "ppp")
        return
    if not is_for(profile, nic):
        return
    total = profile.get("sriov", "total-vfs")
    reading.add_count(nic, profile.path, f"{who}: total-vfs={total}", total)
    controller = profile.get("connection", "controller", "master")
    if controller:
        target = next((_title(other) for other in profiles if _has_uuid(other, controller)), controller)
        reading.add(nic, NETWORK_MANAGER, "port", profile.path, f"{who}: controller={controller}", target)
    elif profile.get("connection", "autoconnect").lower() in _FALSE:
        if (timeout := profile.get("connection", "wait-device-timeout")) not in ("", "-1", "0"):
            reading.add(nic, NETWORK_MANAGER, "wait", profile.path, f"{who}: wait-device-timeout={timeout}")
    else:
        name = f"interface-name={identity}" if identity else f"type={profile.kind}"
        mac = profile.hardware("mac-address")
        reading.add(nic, NETWORK_MANAGER, "configure", profile.path, f"{who}: {f'mac-address={mac}' if mac else name}")


def _has_uuid(profile: Profile, uuid: str) -> bool:
    return bool(uuid) and profile.get("connection", "uuid") == uuid


def _title(profile: Profile) -> str:
    return profile.get("connection", "interface-name") or profile.get("connection", "id")


def path_of(reading: Reading, uuid: str) -> str | None:
    """The file of the profile with this UUID."""
    return next((profile.path for profile in read_profiles(reading) if _has_uuid(profile, uuid)), None)
