# SPDX-License-Identifier: Apache-2.0
"""GRUB, whose grub.cfg grub-mkconfig makes from /etc/default/grub.

Our arguments go to the end of GRUB_CMDLINE_LINUX_DEFAULT, which 10_linux writes after GRUB_CMDLINE_LINUX, so that an
opposite one that somebody left comes before them; the recovery entries stay without. They stand in a file of ours
where this grub-mkconfig reads /etc/default/grub.d (a patch of Debian's and Ubuntu's), elsewhere in one line of ours
at the end of /etc/default/grub. Sources: GRUB manual, "Simple configuration handling" and "The GRUB environment
block"; util/grub-mkconfig.in, util/grub.d/10_linux.in, 41_custom.in and util/grub-reboot.in.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from nicpass.boot.arguments.tokens import TRIAL_TOKENS, are_last, join_tokens
from nicpass.boot.loader.grub_menu import find_trial_parts, known_entry
from nicpass.boot.text.changes import content_of, plan_file
from nicpass.boot.text.marked import NOTES, append_ours, take_out_ours
from nicpass.boot.text.shell_words import Stop, read_assignments
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.fact import Fact, Unknown
from nicpass.model.file_image import FileChange, Folder
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Boot, BootFile

DEFAULTS = "/etc/default/grub"
DEFAULTS_FOLDER = "/etc/default/grub.d"
OUR_FILE = f"{DEFAULTS_FOLDER}/zz-nicpass.cfg"
TRIAL_ENTRY = "nicpass-trial"
_VARIABLE = "GRUB_CMDLINE_LINUX_DEFAULT"
_MADE_FOLDER = "# The folder was made for this file.\n"
_OUR_LINE = re.compile(
    rb"^(?P<line>GRUB_CMDLINE_LINUX_DEFAULT=[^\n]*?) # nicpass prepare" + NOTES + rb": (?P<tokens>[^\n]*)(?:\n|\Z)",
    re.MULTILINE,
)
_OUR_BLOCK = re.compile(
    rb"^# nicpass begin" + NOTES + rb": [^\n]*\n(?:(?!# nicpass end)[^\n]*\n)*# nicpass end(?:\n|\Z)", re.MULTILINE
)


def configured_arguments(boot: Boot) -> Fact[str]:
    """The arguments that the next grub-mkconfig writes after `ro`: GRUB_CMDLINE_LINUX, then GRUB_CMDLINE_LINUX_DEFAULT.

    Raises:
        BadInputError: one of the files could not be read.
    """
    read = read_assignments(_sources(boot), boot.mkconfig_shell)
    found = [read.value_of(name) for name in ("GRUB_CMDLINE_LINUX", _VARIABLE)]
    unknown = next((value for value in found if isinstance(value, Unknown)), None)
    return unknown or " ".join(value for value in found if isinstance(value, str) and value)


def plan_arguments(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that puts `tokens` last at every boot, in place of an earlier run's."""
    if not tokens:
        return plan_removal(boot)
    files = plan_settings(boot, tokens)
    entry = known_entry(boot.entries, boot.default_entry)
    if not files and entry is not None and are_last(entry.arguments, tokens):
        return BootChange()
    return BootChange(files=files, generators=(_make_menu(boot),))


def plan_settings(boot: Boot, tokens: Sequence[str]) -> tuple[FileChange, ...]:
    """The changes that put `tokens` last in the files from which grub-mkconfig makes grub.cfg.

    Raises:
        BadInputError: grub-mkconfig would stop at one of the files, or overwrite ours by a later one.
    """
    _refuse_unreadable(boot)
    return _plan_our_file(boot, tokens) if boot.reads_grub_d else _plan_our_line(boot, tokens)


def plan_removal(boot: Boot) -> BootChange:
    """The change that removes nicpass's file and nicpass's line, whichever stands there."""
    files = plan_settings_removal(boot)
    return BootChange(files=files, generators=(_make_menu(boot),) if files else ())


def plan_settings_removal(boot: Boot) -> tuple[FileChange, ...]:
    """The changes that leave the files of grub-mkconfig as they would be without nicpass."""
    files: tuple[FileChange, ...] = ()
    if (defaults := content_of(boot, DEFAULTS)) is not None:
        files += plan_file(boot, DEFAULTS, take_out_ours(defaults, _OUR_LINE, _keep_of_line))
    if (ours := content_of(boot, OUR_FILE)) is not None:
        files += plan_file(boot, OUR_FILE, None)
        if _MADE_FOLDER.encode() in ours and not _others(boot):
            files += (FileChange(path=DEFAULTS_FOLDER, before=Folder(), after=None),)
    return files


def plan_trial(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that makes a copy of the default entry with `tokens`, which the next boot takes and no other.

    Raises:
        ImpossibleError: this host's GRUB cannot try an entry once.
    """
    entry = known_entry(boot.entries, boot.default_entry)
    if not boot.can_try or entry is None:
        raise ImpossibleError(_("GRUB cannot try the arguments once: {reason}.").format(reason=boot.why_not_try))
    path, content = _custom(boot)
    lines = trial_entry(entry.text, (*tokens, *TRIAL_TOKENS)).encode()
    others = None if content is None else take_out_ours(content, _OUR_BLOCK)
    after = append_ours(others, lambda note: _trial_block(note, lines))
    return BootChange(files=plan_file(boot, path, after), generators=(boot_trial_once(boot),))


def plan_trial_end(boot: Boot) -> BootChange:
    """The change that removes the trial's entry, and with it the request to boot it."""
    path, content = _custom(boot)
    files = () if content is None else plan_file(boot, path, take_out_ours(content, _OUR_BLOCK))
    return BootChange(files=files, generators=forget_trial(boot))


def boot_trial_once(boot: Boot) -> Generator:
    """The command that makes GRUB boot the trial's entry next time only."""
    return Generator(
        argv=(program(boot, "reboot"), TRIAL_ENTRY), back=(program(boot, "editenv"), "-", "unset", "next_entry")
    )


def forget_trial(boot: Boot) -> tuple[Generator, ...]:
    """The command that takes this back, so that GRUB does not boot the trial's entry; none where it was not to."""
    once = boot_trial_once(boot)
    return (Generator(argv=once.back or (), back=once.argv),) if boot.one_shot == TRIAL_ENTRY else ()


def trial_entry(text: str, tokens: Sequence[str]) -> str:
    """The lines of an entry under the trial's id, with `tokens` last; it is not remembered as booted or as failed.

    `savedefault` would make it the default for ever, and `recordfail` the next menu wait for a person.

    Raises:
        BadInputError: the entry boots no Linux.
    """
    parts = find_trial_parts(text)
    if parts is None:
        raise BadInputError(_("The entry that boots by default starts no Linux kernel with arguments."))
    title, options, body, arguments_end = parts
    head = f"menuentry '{title} (nicpass)' {options} --id {TRIAL_ENTRY} {{"
    return f"{head}{body[:arguments_end].rstrip()} {join_tokens(tokens)}{body[arguments_end:]}\n"


def _plan_our_file(boot: Boot, tokens: Sequence[str]) -> tuple[FileChange, ...]:
    before = content_of(boot, OUR_FILE)
    made = DEFAULTS_FOLDER not in boot.folders or (before is not None and _MADE_FOLDER.encode() in before)
    text = (
        "# Written by nicpass prepare; nicpass prepare --remove takes it away.\n"
        f"{_MADE_FOLDER if made else ''}{_assignment(tokens)}\n"
    )
    _refuse_later_files(boot, text, tokens)
    folder: tuple[FileChange, ...] = ()
    if DEFAULTS_FOLDER not in boot.folders:
        folder = (FileChange(path=DEFAULTS_FOLDER, before=None, after=Folder()),)
    return folder + plan_file(boot, OUR_FILE, text.encode())


def _plan_our_line(boot: Boot, tokens: Sequence[str]) -> tuple[FileChange, ...]:
    content = content_of(boot, DEFAULTS)
    others = None if content is None else take_out_ours(content, _OUR_LINE, _keep_of_line)
    if others is not None and not read_assignments([_decode(others)], boot.mkconfig_shell).ends_whole:
        raise BadInputError(
            _("{path} ends in the middle of something: a line after it would not be read.").format(path=DEFAULTS),
            _("Look at its end for an open quote, a backslash, or an if without its fi."),
        )
    return plan_file(boot, DEFAULTS, append_ours(others, lambda note: _our_line(tokens, note)))


def _assignment(tokens: Sequence[str]) -> str:
    return f'{_VARIABLE}="${_VARIABLE} {join_tokens(tokens)}"'


def _our_line(tokens: Sequence[str], note: bytes = b"") -> bytes:
    return _assignment(tokens).encode() + b" # nicpass prepare" + note + f": {join_tokens(tokens)}\n".encode()


def _keep_of_line(found: re.Match[bytes]) -> bytes:
    """The part of nicpass's line that stays: what somebody has added to it, without nicpass's arguments."""
    tokens = found["tokens"].split()
    if found["line"] == _assignment_of(tokens):
        return b""
    line: bytes = found["line"]
    for token in tokens:
        line = re.sub(rb"(?<![^\s\"'])" + re.escape(token) + rb"(?![^\s\"'])", b"", line, count=1)
    return line + b"\n"


def _assignment_of(tokens: Sequence[bytes]) -> bytes:
    return f'{_VARIABLE}="${_VARIABLE} '.encode() + b" ".join(tokens) + b'"'


def _refuse_later_files(boot: Boot, ours: str, tokens: Sequence[str]) -> None:
    """Refuse files of others that are sourced after nicpass's and take its arguments back."""
    later = [file.path for file in _others(boot) if _sorting(file.path) > _sorting(OUR_FILE)]
    texts = [_decode(content_of(boot, path) or b"") for path in later]
    value = read_assignments([ours, *texts], boot.mkconfig_shell).value_of(_VARIABLE)
    if not isinstance(value, str) or not are_last(value, tokens):
        raise BadInputError(
            _("{path} is read after nicpass's file and sets the kernel's arguments anew.").format(path=later[-1]),
            _("Give it a name that sorts before {name}.").format(name=posixpath.basename(OUR_FILE)),
        )


def _refuse_unreadable(boot: Boot) -> None:
    """Refuse a file at which grub-mkconfig stops: no grub.cfg would be made, and that is seen only when it is run."""
    others = _others(boot) if boot.reads_grub_d else []
    for path in (DEFAULTS, *(file.path for file in others)):
        content = content_of(boot, path) or b""
        ours_out = take_out_ours(content, _OUR_LINE, _keep_of_line) if path == DEFAULTS else content
        stop = read_assignments([_decode(ours_out or b"")], boot.mkconfig_shell).stop
        if stop is not None:
            raise BadInputError(
                _explain_stop(stop, path, boot.mkconfig_shell),
                _("Mend it, and look with: {command}").format(command=f"sh -e -c '. {path}'"),
            )


def _explain_stop(stop: Stop, path: str, shell: str | None) -> str:
    match stop:
        case Stop.UNFINISHED:
            return _("{path} ends in the middle of something: within quotes, or a substitution.").format(path=path)
        case Stop.OPEN:
            return _("{path} ends in the middle of something: an if, a loop or a bracket is not closed.").format(
                path=path
            )
        case Stop.LEFT:
            return _("{path} ends grub-mkconfig by `exit` or `exec`, before it has made anything.").format(path=path)
        case Stop.NOT_APPENDED:
            return _(
                "{path} has NAME+=, which {shell}, by which grub-mkconfig is run here, takes for a command that is not "
                "there; then it stops."
            ).format(path=path, shell=shell)


def _sorting(path: str) -> str:
    """The key by which a shell sorts a path of `*.cfg`: by the locale, and most locales pass over marks and case."""
    return re.sub(r"[^a-z0-9]", "", posixpath.basename(path).lower())


def _sources(boot: Boot) -> list[str]:
    """The texts that grub-mkconfig sources, in its order."""
    folder = [*(file.path for file in _others(boot)), OUR_FILE] if boot.reads_grub_d else []
    paths = [DEFAULTS, *sorted(folder, key=_sorting)]
    return [_decode(content_of(boot, path) or b"") for path in paths]


def _others(boot: Boot) -> list[BootFile]:
    below = f"{DEFAULTS_FOLDER}/"
    return [file for file in boot.files if file.path.startswith(below) and file.path != OUR_FILE]


def _make_menu(boot: Boot) -> Generator:
    makes = boot.generated[:1]
    if "update-grub" in boot.programs:
        return Generator(argv=("update-grub",), makes=makes)
    return Generator(argv=(program(boot, "mkconfig"), "-o", _menu_path(boot)), makes=makes)


def program(boot: Boot, name: str) -> str:
    """The name of a program of GRUB 2: it begins with `grub2-` where GRUB 1 was there too, else with `grub-`."""
    return next((found for found in boot.programs if found in (f"grub-{name}", f"grub2-{name}")), f"grub-{name}")


def _custom(boot: Boot) -> tuple[str, bytes | None]:
    """Path and content of custom.cfg, which the script 41_custom has GRUB read at every boot."""
    path = posixpath.join(posixpath.dirname(_menu_path(boot)), "custom.cfg")
    return path, content_of(boot, path)


def _menu_path(boot: Boot) -> str:
    return boot.generated[0].path if boot.generated else "/boot/grub/grub.cfg"


def _trial_block(note: bytes, lines: bytes) -> bytes:
    return b"# nicpass begin" + note + b": tried once by nicpass prepare\n" + lines + b"# nicpass end\n"


def _decode(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
