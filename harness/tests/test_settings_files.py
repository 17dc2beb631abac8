"""What is no settings file is refused with its name, and a mistake in one with its line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.settings import Frozen, Target, flaws, load_profile, read_yaml

BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: one\nname: two\n", "the key 'name' is given twice, in lines 1 and 2"),
        (b"a:\n  b: 1\n  c: 2\n  b: 3\n", "the key 'b' is given twice, in lines 2 and 4"),
        (b"- {a: 1, a: 1}\n", "is given twice"),
        (b"name: \xff\xfe\n", "is not text in UTF-8"),
        (b"name: \x00\n", "is not valid YAML"),
        (b"name: [\n", "is not valid YAML"),
        (BOMB.encode(), "its aliases repeat too much"),
        (b"a: &a [*a]\n", "its aliases repeat too much"),
        (b"[" * 5000, "is not valid YAML"),
        (b"a: 2026-99-99\n", "is not valid YAML"),
        (b"#" * 5_000_000, "is larger than"),
    ],
    ids=["twice", "inner", "flow", "utf-8", "nul", "open", "bomb", "loop", "deep", "date", "huge"],
)
def test_what_is_no_settings_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.yaml") as refused:
        read_yaml(path)
    assert words in str(refused.value)


@pytest.mark.parametrize("content", ["", "[]", "- a", "3", "~", "name: lab"])
def test_a_profile_of_another_shape_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not valid"):
        load_profile(str(path))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("most: 2", "most: there is no such key"),
        ("exactly: 2", "(file): give exactly one of at_most, at_least and exactly"),
    ],
)
def test_a_mistake_is_said_in_plain_words(tmp_path: Path, more: str, says: str) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(f"words: Lost writes\nat_most: 1\n{more}\n")
    assert [it.says for it in flaws(Target, path)] == [says]


def test_a_folder_in_place_of_a_profile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot read"):
        load_profile(str(tmp_path / "profile.yaml"))


@given(content=st.binary(max_size=200))
def test_no_file_raises_anything_but_a_mistake_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("x") / "x.yaml"
    path.write_bytes(content)
    with suppress(ConfigError):
        read_yaml(path)
    flaws(Frozen, path)


def test_an_alias_that_repeats_little_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("one: &it {a: 1}\ntwo: *it\n")
    assert read_yaml(path) == {"one": {"a": 1}, "two": {"a": 1}}
