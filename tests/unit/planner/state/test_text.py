# SPDX-License-Identifier: Apache-2.0
"""A file of `nicpass.state/1`: what is read of it, and how each mistake in it is told, with its place."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from nicpass.model.errors import BadInputError
from nicpass.model.state import (
    DeclaredBoot,
    DeclaredNic,
    DeclaredPf,
    DeclaredPool,
    DeclaredState,
    DeclaredVf,
    DeclaredVm,
)
from nicpass.planner.state.export import render_state
from nicpass.planner.state.text import Place, parse_state

HEAD = "schema: nicpass.state/1\n"
WHOLE = """\
# a comment
schema: nicpass.state/1
boot: {nics: [enp5s0f0], iommu_pt: on, group: kvm}
pfs:
  enp3s0f0:
    vfs: 4
    all: {spoofchk: on, vlan: 20}
    each:
      0: {mac: 52:54:00:12:34:56}
      3:
        trust: yes
        state: enable
pools:
  blue: {vfs: {enp3s0f0: 0-1, enp3s0f1: 3}, vlan: 20}
  red:
    vfs:
      enp3s0f0: [2, 3]
vms:
  web01:
    nics:
      - {pool: blue}
      - enp2s0
      - {pf: enp3s0f0, vf: 3, vlan: 7}
  db:
"""


def test_all_of_a_file_is_read_with_its_places() -> None:
    file = parse_state("host.yaml", WHOLE.encode())
    assert file.state == DeclaredState(
        boot=DeclaredBoot(nics=("enp5s0f0",), iommu_pt=True, group="kvm"),
        pfs={
            "enp3s0f0": DeclaredPf(
                vfs=4,
                all=DeclaredVf(spoofchk=True, vlan=20),
                each={0: DeclaredVf(mac="52:54:00:12:34:56"), 3: DeclaredVf(trust=True, state="enable")},
            )
        },
        pools={
            "blue": DeclaredPool(vfs={"enp3s0f0": "0-1", "enp3s0f1": "3"}, vlan=20),
            "red": DeclaredPool(vfs={"enp3s0f0": ("2", "3")}),
        },
        vms={
            "web01": DeclaredVm(
                nics=(DeclaredNic(pool="blue"), "enp2s0", DeclaredNic(pf="enp3s0f0", vf=3, vlan=7)),
            ),
            "db": DeclaredVm(),
        },
    )
    assert file.places["pools", "red", "vfs", "enp3s0f0", 1] == Place(17, 21)
    assert file.places["pfs", "enp3s0f0", "each", 3] == Place(10, 7)
    assert file.places["vms", "web01", "nics", 2] == Place(23, 9)
    assert file.where(("pfs", "enp3s0f0", "each", 3, "vlan")) == "host.yaml, line 10, column 7", (
        "the nearest that stands"
    )


@pytest.mark.parametrize(
    ("text", "place", "words", "hint"),
    [
        ("", (1, 1), "empty", "nicpass export"),
        ("pfs: {}", (1, 1), "does not say what it is", "schema: nicpass.state/1"),
        ("schema: nicpass.state/2", (1, 9), "'nicpass.state/2'", "nicpass.state/1"),
        (f"{HEAD}pfz: {{}}", (2, 1), "no 'pfz'", "Did you mean pfs?"),
        (f"{HEAD}pfs:\n\tenp1: {{vfs: 1}}", (3, 1), "cannot start any token", "nicpass schema state"),
        (f"{HEAD}pfs: {{a: {{vfs: 70000}}}}", (2, 16), "from 0 to 65535, not '70000'", ""),
        (f"{HEAD}pfs: {{a: {{vfs: 0x10}}}}", (2, 16), "not '0x10'", ""),
        (f"{HEAD}pfs: {{a: {{vfs: {'9' * 5000}}}}}", (2, 16), "from 0 to 65535", ""),
        (f"{HEAD}pfs: {{a: {{}}}}", (2, 10), "'vfs' is missing", ""),
        (f"{HEAD}pfs: {{a: }}", (2, 10), "'vfs' is missing", "nicpass schema state"),
        (f"{HEAD}pfs:\n  a:\n  b: {{vfs: 1}}", (3, 5), "'vfs' is missing", "nicpass schema state"),
        (f"{HEAD}vms: {{a: {{nics: [{'b' * 256}]}}}}", (2, 18), "longer than any name: bbb", "nicpass schema state"),
        (f"{HEAD}pfs: {{a: {{vfs: 1, all: {{vlan: 4095}}}}}}", (2, 31), "0 to 4094, not '4095'", ""),
        (f"{HEAD}pfs: {{a: {{vfs: 1, all: {{trust: maybe}}}}}}", (2, 32), "on or off, not 'maybe'", ""),
        (f"{HEAD}pfs: {{a: {{vfs: 1, all: {{proto: 802.1q}}}}}}", (2, 32), "'802.1q'", "Did you mean 802.1Q?"),
        (f"{HEAD}pfs: {{a: {{vfs: 1, all: {{mac: 1:2}}}}}}", (2, 30), "mac cannot be '1:2'", ""),
        (f"{HEAD}pfs: {{a: {{vfs: 1}}, a: {{vfs: 2}}}}", (2, 20), "'a' stands in line 2 already", ""),
        (f"{HEAD}pfs: {{a: {{vfs: 4, each: {{3: {{}}, 03: {{}}}}}}}}", (2, 33), "'03' is there twice", ""),
        (f"{HEAD}pools: {{a: {{}}}}", (2, 12), "'vfs' is missing", ""),
        (f"{HEAD}pools: {{a: {{vfs: {{e: 0..2}}}}}}", (2, 22), "e cannot be '0..2'", ""),
        (f"{HEAD}pools: {{a: {{vfs: {{e: 0,2}}}}}}", (2, 25), "nothing here", ""),
        (f"{HEAD}pools: {{a: {{vfs: {{e: {{}}}}}}}}", (2, 22), "one word is wanted", ""),
        (f"{HEAD}pools: {{a: {{vfs: {{e: [x]}}}}}}", (2, 23), "cannot be 'x'", ""),
        (f"{HEAD}pools: {{a: {{vfs: {{e: 0}}, vlan: 4095}}}}", (2, 32), "from 0 to 4094", ""),
        (f"{HEAD}vms: [web01]", (2, 6), "a map is wanted", ""),
        (f"{HEAD}vms: {{a: {{nics: eth1}}}}", (2, 17), "a list is wanted", ""),
        (f"{HEAD}vms: {{a: {{nics: [[eth1]]}}}}", (2, 18), "a map is wanted", ""),
        (f"{HEAD}vms: {{a: {{nics: [{{nicc: x}}]}}}}", (2, 19), "no 'nicc'", "Did you mean nic?"),
        (f"{HEAD}vms: {{a: {{nics: [~]}}}}", (2, 18), "nothing here", ""),
        (f"{HEAD}? [a]\n: b", (2, 3), "a name is wanted", ""),
        ("a: &x [1]\nb: *x", (1, 4), "anchors and aliases", ""),
        ("!!python/object/apply:os.system ['true']", (1, 1), "tags", ""),
        ("!mine {a: 1}", (1, 1), "tags", ""),
        ("--- 1\n--- 2\n", (2, 1), "another document", ""),
        ("[" * 100_000, (1, 1001), "nesting", ""),
        ("schema: 'x", (1, 11), "end of stream", ""),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, place: tuple[int, int], words: str, hint: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_state("host.yaml", text.encode())
    line, column = place
    assert caught.value.sentence.startswith(f"host.yaml, line {line}, column {column}: ") or "nesting" in words
    assert words in caught.value.sentence
    assert hint in caught.value.hint
    assert caught.value.hint
    assert len(caught.value.sentence) < 500, "what it repeats of the file nobody would read to its end"
    assert "\n" not in caught.value.sentence


def test_no_utf8_a_bell_and_a_giant() -> None:
    for content, words in ((b"a: 1\nb: \xff", "line 2, column 4: this is no UTF-8"), (b"a: \x07", "not allowed")):
        with pytest.raises(BadInputError, match=words):
            parse_state("host.yaml", content)
    with pytest.raises(BadInputError, match="longer than 1048576 bytes"):
        parse_state("host.yaml", b"#" * 2_000_000)


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    """Each line names the one before ten times: the last would be ten to the power of nine values."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
    with pytest.raises(BadInputError, match="line 1, column 5: anchors"):
        parse_state("host.yaml", "\n".join(lines).encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_a_state_or_one_sentence(content: bytes) -> None:
    sentence = ""
    try:
        parse_state("host.yaml", content)
    except BadInputError as error:
        sentence = error.sentence
    assert sentence.isprintable()


_WORDS = st.sampled_from(["~", "null", "", "''", "1", "on", "eth1", "web", "-1", "52:54:00:12:34:56", "'\\0'", '"\\0"'])
_KEYS = st.sampled_from(
    ["pfs", "vms", "vfs", "all", "each", "nics", "allow", "nic", "pf", "vf", "mac", "vlan", "trust", "eth1", "0", "~"]
)


def _map(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"


_NODES = st.recursive(
    _WORDS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(_KEYS, inner), max_size=3).map(_map)
    ),
    max_leaves=8,
)


@given(_NODES, _NODES, st.lists(st.tuples(_KEYS, _NODES), max_size=3).map(_map))
def test_any_words_of_such_a_file_in_any_order_too(pf: str, vm: str, whole: str) -> None:
    for text in (f"pfs: {{eth1: {pf}}}", f"vms: {{web: {vm}}}", f"pfs: {whole}", f"vms: {whole}"):
        sentence, hint = "", "none is needed"
        try:
            parse_state("host.yaml", f"{HEAD}{text}".encode())
        except BadInputError as error:
            sentence, hint = error.sentence, error.hint
        assert sentence.isprintable()
        assert hint


_VFS = st.builds(
    DeclaredVf,
    mac=st.none() | st.just("52:54:00:12:34:56") | st.just("10:20:30:40:50:10"),
    vlan=st.none() | st.integers(0, 4094),
    qos=st.none() | st.integers(0, 7),
    proto=st.sampled_from([None, "802.1Q", "802.1ad"]),
    spoofchk=st.none() | st.booleans(),
    max_tx_rate=st.none() | st.integers(0, 2**32 - 1),
    state=st.sampled_from([None, "auto", "enable", "disable"]),
)
_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp", "Co"]), min_size=1, max_size=8)
_PFS = st.builds(
    DeclaredPf,
    vfs=st.integers(0, 65535),
    for_host=st.booleans(),
    all=_VFS,
    each=st.dictionaries(st.integers(0, 65534), _VFS, max_size=3),
)
_POOLS = st.builds(
    DeclaredPool,
    vfs=st.dictionaries(
        _NAMES,
        st.sampled_from(["0-3", "all", "0,2", "7"]) | st.sampled_from([("1", "3-4")]),
        min_size=1,
        max_size=3,
    ),
    vlan=st.none() | st.integers(0, 4094),
)
_NICS = (
    st.builds(DeclaredNic, nic=_NAMES)
    | st.builds(DeclaredNic, pool=_NAMES)
    | st.builds(DeclaredNic, pf=_NAMES, vf=st.integers(0, 65534))
    | _NAMES
)
_BOOTS = st.builds(
    DeclaredBoot,
    nics=st.lists(_NAMES, max_size=2).map(tuple),
    iommu_pt=st.booleans(),
    group=st.none() | st.just("kvm"),
    allow=st.just(()),
)
_STATES = st.builds(
    DeclaredState,
    boot=st.none() | _BOOTS,
    pfs=st.dictionaries(_NAMES, _PFS, max_size=3),
    pools=st.dictionaries(_NAMES, _POOLS, max_size=3),
    vms=st.dictionaries(
        _NAMES,
        st.builds(DeclaredVm, nics=st.lists(_NICS, max_size=3).map(tuple), allow=st.just(("HAS_ADDRESS",))),
        max_size=3,
    ),
)


@given(_STATES)
def test_what_is_written_is_read_as_it_was(state: DeclaredState) -> None:
    text = render_state(state, ["a comment"])
    assert parse_state("host.yaml", text.encode()).state == state, text


def _types_in(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The type and all that are in it."""
    if isinstance(kind, inspect.Metadata):
        yield from _types_in(kind.type)
        return
    yield kind
    inner: tuple[inspect.Type, ...] = ()
    match kind:
        case inspect.StructType():
            inner = tuple(field.type for field in kind.fields)
        case inspect.DictType():
            inner = (kind.key_type, kind.value_type)
        case inspect.VarTupleType():
            inner = (kind.item_type,)
        case inspect.UnionType():
            inner = kind.types
    for each in inner:
        yield from _types_in(each)


def test_every_kind_of_field_is_known_to_the_reader() -> None:
    """A field of a new type in the model would be met by nobody but a user."""
    of_many = (inspect.StructType, inspect.DictType, inspect.VarTupleType, inspect.UnionType)
    known = (*of_many, inspect.NoneType, inspect.StrType, inspect.IntType, inspect.BoolType, inspect.LiteralType)
    met = list(_types_in(inspect.type_info(DeclaredState)))
    assert len(met) > 40
    assert [kind for kind in met if not isinstance(kind, known)] == []
    state = DeclaredState(pfs={"a": DeclaredPf(vfs=1, all=DeclaredVf(spoofchk=True, trust=True, query_rss=False))})
    assert parse_state("x", render_state(state).encode()).state == state
    assert msgspec.json.schema(DeclaredState)["$defs"]["DeclaredPf"]["properties"]["vfs"]["maximum"] == 65535
