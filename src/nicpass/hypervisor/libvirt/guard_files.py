# SPDX-License-Identifier: Apache-2.0
"""The files of the guard: a script for libvirt and a unit for systemd, which name this very installation of nicpass."""

from __future__ import annotations

from shlex import quote

from nicpass.engine.admission import STARTED
from nicpass.host.system.given import EVENTS, EVENTS_OF_BOOT

PROOF_NAME = "nicpass-proof"
"""The name of the VM that is never let through: its start shows whether libvirt runs the hook."""
PROOF = "/run/nicpass/proof"
"""The file into which the hook puts the UUID of that VM; where it is not there, the hook treats it as any VM."""

_HOOK = r"""#!/bin/sh
# Put here by nicpass, which takes it away when the last NIC comes back (nicpass detach).
# libvirt calls it with VM OPERATION SUBOPERATION EXTRA, and the VM's definition on standard input.
python=@PYTHON@
package=@PACKAGE@
nics=@NICS@
root=@ROOT@

# By env: libvirt's AppArmor profile lets what is in /usr/bin run unconfined, and nothing elsewhere run at all.
case $2/$3 in
    self-test/*) exec /usr/bin/env "$python" -I -m nicpass.cli.hook "$@" </dev/null ;;
    prepare/begin)
        # Of this name nicpass has a VM started, to see that libvirt asks here; it is never let through.
        if [ "$1" = @PROOF_NAME@ ] && [ -f "$root@PROOF@" ]; then
            definition=$(cat)
            definition=${definition#*<uuid>}
            printf '%s\n' "${definition%%</uuid>*}" >"$root@PROOF@"
            exit 4
        fi
        ;;
    release/end) ;;
    *) exit 0 ;;
esac

# Whether the VM has an interface of a pool's: of a network that lends VFs, of which libvirt has yet to pick one.
draws() {
    for network in "$root"/etc/libvirt/qemu/networks/*.xml "$root"/run/libvirt/network/*.xml; do
        grep -qs "<forward [^>]*mode='hostdev'" "$network" || continue
        pool=$(sed -n '/<name>/{s:.*<name>\(.*\)</name>.*:\1:p;q;}' "$network")
        case $definition in *"network='$pool'"*) return 0 ;; esac
    done
    return 1
}

# A VM that has no NIC of ours, and draws from no pool, is not kept waiting for Python.
definition=$(cat)
uuid=${definition#*<uuid>}
uuid=${uuid%%</uuid>*}
found=1
for record in "$nics"/*.json; do [ -e "$record" ] && break; done
if [ -e "$record" ]; then
    grep -qsF -e "$uuid" "$nics"/*.json
    found=$?
fi
[ $found -ne 1 ] || draws || exit 0

if [ -x "$python" ] && [ -r "$package/cli/hook.py" ]; then
    printf '%s\n' "$definition" | /usr/bin/env "$python" -I -m nicpass.cli.hook "$@"
    code=$?
    case $code in 0 | [3-7]) exit $code ;; esac # it has said why itself
    why="$python could not run it (exit code $code)"
elif [ -x "$python" ]; then
    why="$package is not there"
else
    why="$python is not there"
fi

# From here on nicpass is broken: removed, or its Python was upgraded. That alone keeps no VM from starting, and no more
# does anything that fails below. What would cut the administrator off does, as far as it can be told without Python.

tell() {
    timeout 5 logger -t nicpass -p daemon.err -- "$1" 2>/dev/null
    printf 'nicpass: %s\n' "$1" >&2
}

# The VM's NICs that have a record, and stand in its definition as libvirt writes it.
find_ours() {
    ours=
    for record in "$nics"/*.json; do
        grep -qsF -e "$uuid" "$record" || continue
        address=${record##*/}
        address=${address%.json}
        rest=${address#*:}
        slot=${rest#*:}
        case $definition in
            *"domain='0x${address%%:*}' bus='0x${rest%%:*}' slot='0x${slot%.*}' function='0x${slot#*.}'"*)
                ours="$ours $address"
                ;;
        esac
    done
}

# An interface, and all that stands above it: bridges, bonds, VLANs, and what stands above those.
climb() {
    case "$above " in *" $1 "*) return ;; esac
    above="$above $1"
    for upper in "$root/sys/class/net/$1"/upper_*; do
        [ -L "$upper" ] && climb "${upper##*/upper_}"
    done
}

find_above() {
    above=
    for address in $ours; do
        for netdev in "$root/sys/bus/pci/devices/$address"/net/* "$root/sys/bus/pci/devices/$address"/virtio*/net/*; do
            [ -e "$netdev" ] && climb "${netdev##*/}"
        done
    done
}

# Open vSwitch shows its bridge's ports, but not what the host has on the bridge: then an interface of no device.
is_above() {
    case "$above " in
        *" $1 "*) return 0 ;;
        *" ovs-system "*) ;;
        *) return 1 ;;
    esac
    [ -e "$root/sys/class/net/$1/device" ] && return 1
    for lower in "$root/sys/class/net/$1"/lower_*; do [ -L "$lower" ] && return 1; done
    [ -e "$root/sys/class/net/$1" ]
}

list_default_routes() {
    awk '$2 == "00000000" && $8 == "00000000" { print $1 }' "$root/proc/net/route"
    awk '$1 ~ /^0+$/ && $2 == "00" { print $10 }' "$root/proc/net/ipv6_route"
    [ -n "$root" ] && return # a tree has no other tables
    for family in -4 -6; do
        timeout 5 ip "$family" -o route show table all default | tr ' ' '\n' | sed -n '/^dev$/{n;p;}'
    done
}

# The ports of sshd, hexadecimal, as /proc/net/tcp has them.
list_ports() {
    cat "$root"/etc/ssh/sshd_config "$root"/etc/ssh/sshd_config.d/*.conf |
        awk 'tolower($1) == "port" && $2 ~ /^[0-9]+$/ { $2 += 0; printf "%04X ", $2 }'
    echo 0016
}

# What the administrator would lose with these interfaces, in words; nothing if nothing is seen.
find_loss() {
    [ -n "$above" ] || return
    for device in $(list_default_routes); do
        if is_above "$device"; then
            echo "a default route of the host leads over $device"
            return
        fi
    done
    export above ports
    above="$above " ports=" $(list_ports) "
    # Whoever is reached over one of these interfaces: the route to his address, or our own address on the interface.
    routes=$(awk 'index(ENVIRON["above"], " " $1 " ") { print $2 "/" $8 }' "$root/proc/net/route" | head -n 1000)
    for peer in $(cat "$root/proc/net/tcp" "$root/proc/net/tcp6" | awk '
        $4 == "01" && split($2, here, ":") == 2 && index(ENVIRON["ports"], " " here[2] " ") {
            split($3, there, ":")
            sub(/^0000000000000000FFFF0000/, "", there[1])
            # Any user can hold a thousand connections to himself: each peer once, and none of this host.
            if (length(there[1]) == 8 && there[1] !~ /7F$/ && !seen[there[1]]++) print there[1]
        }' | head -n 1000); do
        for route in $routes; do
            [ $((0x$peer & 0x${route#*/})) -eq $((0x${route%/*})) ] || continue
            echo "somebody is here by ssh over it"
            return
        done
    done
    awk '
        function swap(text, at, out) {
            for (at = 1; at < 32; at += 8)
                out = out substr(text, at + 6, 2) substr(text, at + 4, 2) substr(text, at + 2, 2) substr(text, at, 2)
            return tolower(out)
        }
        FILENAME ~ /if_inet6$/ { if (index(ENVIRON["above"], " " $6 " ")) ours[$1]; next }
        $4 == "01" && split($2, here, ":") == 2 && index(ENVIRON["ports"], " " here[2] " ") {
            if (swap(here[1]) in ours || tolower(here[1]) in ours) {
                print "somebody is here by ssh over it"
                exit
            }
        }' "$root/proc/net/if_inet6" "$root/proc/net/tcp6"
}

write() { # PATH TEXT: whole or not at all
    mkdir -p "${1%/*}" && printf '%s\n' "$2" >"${1%/*}/.${1##*/}.new" && mv -f "${1%/*}/.${1##*/}.new" "$1" && return
    rm -f "${1%/*}/.${1##*/}.new"
    return 1
}

# For nicpass list and check, once they run again.
put_down() {
    case $uuid in '' | *[!0-9a-f-]*) uuid=unknown ;; esac
    text=$(printf '%s\n' "$(date -u '+%Y-%m-%d %H:%M:%S UTC')" "$1" "${ours# }" "$why" "$loss" "$name")
    write "$root@EVENTS@/$uuid.$1" "$text" && return
    echo " It cannot be put down in @EVENTS@: is the disk full?"
    write "$root@EVENTS_OF_BOOT@/$uuid.$1" "$text"
}

exec 3>&2 2>/dev/null # what the helpers below have to say of files that are not there
umask 077
name=$(printf %s "$1" | tr '\n' ' ')
mend="Install nicpass anew, then: nicpass recover"
loss=
find_ours
if [ -z "$ours" ]; then
    exit 0
elif [ "$2" = release ]; then
    note=$(put_down stopped)
    tell "The NICs of $name ($ours ) came back and were not restored: nicpass is broken, for $why. $mend$note" 2>&3
    exit 0
fi
find_above
loss=$(find_loss)
if [ -n "$loss" ]; then
    note=$(put_down vetoed)
    tell "$name is not started: nicpass is broken, for $why, and $loss. $mend. Or let it go: rm $0$note" 2>&3
    exit 4
fi
# As the guard itself does it: a NIC of a start is owed to the host once the VM has stopped.
write "$root@STARTED@/$uuid" "$(date +%s; printf '%s\n' $ours)"
note=$(put_down started)
tell "$name starts and its NICs ($ours ) were not looked at: nicpass is broken, for $why. $mend$note" 2>&3
exit 0
"""

_UNIT = """\
# Put here by nicpass, which takes it away when the last NIC comes back (nicpass detach).
[Unit]
Description=Take back or finish what nicpass was doing when the host went down
After=local-fs.target libvirtd.socket libvirtd.service virtqemud.socket virtqemud.service
ConditionDirectoryNotEmpty=@STATE@/journal

[Service]
Type=oneshot
# Far more than the longest of it, the making of an initramfs, and yet a bound: without one a boot never ends.
TimeoutStartSec=3600
ExecStart="@PYTHON@" -I -m nicpass recover --boot
# A unit that has failed is seen; of one whose Python is gone nobody else would say what that means.
ExecStopPost=/bin/sh -c 'test "$$SERVICE_RESULT" = success || \\
    echo "<3>nicpass recover failed at this boot ($$SERVICE_RESULT, $$EXIT_STATUS): what was cut off stays so." \\
    "If its Python or its package is gone, install nicpass anew, then: nicpass recover"'

[Install]
WantedBy=multi-user.target
"""


def hook_script(python: str, package: str, nics: str, root: str = "") -> str:
    """The script of libvirt's hook, for /bin/sh (POSIX.1-2024, 2); all arguments are absolute paths.

    Below `root` are the kernel's files and those that it writes where nicpass cannot run: not the machine's own in
    tests.
    """
    words = {"@PYTHON@": python, "@PACKAGE@": package, "@NICS@": nics, "@ROOT@": root}
    fixed = {
        "@PROOF_NAME@": PROOF_NAME,
        "@PROOF@": PROOF,
        "@EVENTS@": EVENTS,
        "@EVENTS_OF_BOOT@": EVENTS_OF_BOOT,
        "@STARTED@": STARTED,
    }
    return _fill(_HOOK, fixed | {name: quote(word) for name, word in words.items()})


def recover_unit(python: str, state: str) -> str:
    """The unit that runs `nicpass recover` at boot: systemd.unit(5), systemd.service(5), systemd.exec(5)."""
    words = {"@PYTHON@": python, "@STATE@": state}
    return _fill(_UNIT, {name: word.replace("%", "%%") for name, word in words.items()})


def _fill(text: str, words: dict[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(name, word)
    return text
