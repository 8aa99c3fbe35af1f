# SPDX-License-Identifier: Apache-2.0
"""Everything that people read is there in Chinese too, with the same fields to fill in."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatch_build import compile_messages
from nicpass.checks.catalogue import Finder
from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.checks.dependence.usage import tell_usage
from nicpass.cli.render.folding import fold
from nicpass.cli.render.output import say_error
from nicpass.cli.render.translation import CATALOGUES, choose_language, speak
from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from tests.support.messages import LANGUAGES, collect_messages, read_translation

MESSAGES = [message.id for message in collect_messages() if isinstance(message.id, str) and message.id]
CHINESE = {message.id: message.string for message in read_translation("zh_CN")}
_CJK = re.compile(r"[\u4e00-\u9fff]")
_PERCENT = re.compile(r"%(?:\(\w+\))?[srd]")


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None} | set(_PERCENT.findall(text))


@pytest.fixture
def chinese() -> None:
    compile_messages(Path(CATALOGUES))
    speak("zh")


@pytest.mark.parametrize("message", MESSAGES)
def test_every_sentence_has_its_translation(message: str) -> None:
    translated = CHINESE.get(message)
    assert translated, f"not translated: {message!r}; make messages, and fill it in"
    assert isinstance(translated, str)
    assert fields_of(translated) == fields_of(message)


def test_no_translation_is_left_over() -> None:
    assert not set(CHINESE) - set(MESSAGES) - {""}


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_is_told_in_chinese(code: str) -> None:
    entry = CATALOGUE[code]
    for text in filter(None, (entry.sentence, entry.meaning, entry.background)):
        assert _CJK.search(str(CHINESE.get(text))), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_marked_as_doubtful(language: str) -> None:
    assert not [message.id for message in read_translation(language) if message.id and message.fuzzy]


@pytest.mark.usefixtures("chinese")
def test_a_finding_is_told_in_the_language_chosen() -> None:
    finding = Finder("dependence.usage")(
        "OWNED_BY_VM", nic="eth1", owners="web01", owner="web01", address="0000:01:00.0"
    )
    assert _CJK.search(finding.sentence)
    assert "web01" in finding.sentence
    assert _("") == ""


@pytest.mark.usefixtures("chinese")
def test_a_summary_is_told_in_the_language_chosen() -> None:
    assert tell_usage("default route, 10.0.0.5/24, br0") == "默认路由, 10.0.0.5/24, br0"


def test_an_error_lets_no_control_character_of_a_name_through(capsys: pytest.CaptureFixture[str]) -> None:
    say_error(BadInputError("No /x\x1b[31m.", "one\ntwo \x9b\u202e"), as_json=False)
    assert capsys.readouterr().err == "nicpass: No /x\\x1b[31m.\n  hint: one\ntwo \\x9b\\u202e\n"


def test_a_terminal_without_its_letters_gets_english() -> None:
    compile_messages(Path(CATALOGUES))
    speak("zh", "latin-1")
    assert _("done") == "done"


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 20, []),
        ("one two three", 20, ["one two three"]),
        ("one two three", 8, ["one two", "three"]),
        ("/a/path/that/is/long", 8, ["/a/path/that/is/long"]),
        ("宿主机的默认路由", 8, ["宿主机的", "默认路由"]),
        ("宿主机的，默认路由", 8, ["宿主机", "的，默认", "路由"]),
        ("网卡 eth1（0000:01:00.0）可用", 16, ["网卡 eth1", "（0000:01:00.0）", "可用"]),
    ],
)
def test_a_paragraph_is_folded_where_its_language_allows(text: str, width: int, lines: list[str]) -> None:
    assert fold(text, width) == lines


@given(st.text(alphabet="ab 直通，。/"), st.integers(4, 30))
def test_folding_loses_nothing(text: str, width: int) -> None:
    assert "".join("".join(fold(text, width)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("argv", "environment", "language"),
    [
        ([], {}, "en"),
        ([], {"LANG": "zh_CN.UTF-8"}, "zh"),
        ([], {"LANG": "zh_TW.UTF-8"}, "zh"),
        ([], {"LANG": "de_DE.UTF-8"}, "en"),
        ([], {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ([], {"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ([], {"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN"}, "zh"),
        ([], {"LANG": "en_US.UTF-8", "LANGUAGE": "fr:zh_CN:en"}, "zh"),
        ([], {"LANG": "C", "LANGUAGE": "zh_CN"}, "en"),
        (["--lang", "zh", "list"], {"LANG": "en_US.UTF-8"}, "zh"),
        (["check", "--lang=en"], {"LANG": "zh_CN.UTF-8"}, "en"),
        (["check", "--lang"], {"LANG": "zh_CN.UTF-8"}, "en"),
        (["check", "--lang", "xx"], {"LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_language_is_the_one_asked_for(argv: list[str], environment: dict[str, str], language: str) -> None:
    assert choose_language(argv, environment) == language
