# SPDX-License-Identifier: Apache-2.0
"""The files of the guard: a script for libvirt and a unit for systemd, which name this very installation of nicpass."""

from __future__ import annotations

from shlex import quote

_HOOK = """\
#!/bin/sh
# Put here by nicpass, which takes it away when the last NIC comes back (nicpass detach).
# libvirt calls it with VM OPERATION SUBOPERATION EXTRA, and the VM's definition on standard input.
python=@PYTHON@
package=@PACKAGE@
nics=@NICS@

# A tool that was removed stops no VM.
[ -x "$python" ] && [ -r "$package/cli/hook.py" ] || exit 0
# By env: libvirt's AppArmor profile lets what is in /usr/bin run unconfined, and nothing elsewhere run at all.
case $2/$3 in
    self-test/*) exec /usr/bin/env "$python" -I -m nicpass.cli.hook "$@" </dev/null ;;
    prepare/begin | release/end) ;;
    *) exit 0 ;;
esac

# A VM that has no NIC of ours is not kept waiting for Python.
for record in "$nics"/*.json; do [ -e "$record" ] && break; done
[ -e "$record" ] || exit 0
definition=$(cat)
uuid=${definition#*<uuid>}
uuid=${uuid%%</uuid>*}
grep -qsF -e "$uuid" "$nics"/*.json
[ $? -eq 1 ] && exit 0

printf '%s\\n' "$definition" | /usr/bin/env "$python" -I -m nicpass.cli.hook "$@"
code=$?
case $code in
    0 | [3-7]) ;; # it has said why itself
    *) echo "nicpass: the guard of $1 could not run (exit code $code): install nicpass anew, or remove $0" >&2 ;;
esac
exit $code
"""

_UNIT = """\
# Put here by nicpass, which takes it away when the last NIC comes back (nicpass detach).
[Unit]
Description=Take back or finish what nicpass was doing when the host went down
After=local-fs.target libvirtd.socket libvirtd.service virtqemud.socket virtqemud.service
ConditionPathExists=@PYTHON@
ConditionPathExists=@PACKAGE@/cli/main.py
ConditionDirectoryNotEmpty=@STATE@/journal

[Service]
Type=oneshot
ExecStart="@PYTHON@" -I -m nicpass recover --boot

[Install]
WantedBy=multi-user.target
"""


def hook_script(python: str, package: str, nics: str) -> str:
    """The script of libvirt's hook, for /bin/sh (POSIX.1-2024, 2); all three arguments are absolute paths."""
    words = {"@PYTHON@": python, "@PACKAGE@": package, "@NICS@": nics}
    return _fill(_HOOK, {name: quote(word) for name, word in words.items()})


def recover_unit(python: str, package: str, state: str) -> str:
    """The unit that runs `nicpass recover` at boot: systemd.unit(5), systemd.service(5)."""
    words = {"@PYTHON@": python, "@PACKAGE@": package, "@STATE@": state}
    return _fill(_UNIT, {name: word.replace("%", "%%") for name, word in words.items()})


def _fill(text: str, words: dict[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(name, word)
    return text
