"""A bundle says when anything in it was changed, and is believed only with a pinned key."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from harness.commands import cli
from harness.commands import past_runs as command
from harness.core.errors import ConfigError
from harness.record import bundle
from harness.record.bundle import (
    MANIFEST,
    NAME,
    SIGNATURE,
    Signer,
    Verified,
    believed,
    fingerprint,
    pack,
    read_public,
    verify,
    verify_folder,
)
from harness.tests.project import Project

FILES = {"journal.jsonl": '{"a": 1}\n', "verdict.json": "{}", "evidence/ab.txt": "x" * 5000}


def write(folder: Path) -> Path:
    for name, text in {**FILES, "pytest.log": "words", "allure-results/a.json": "{}"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate())


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    """A packed run that no test changes."""
    folder = write(tmp_path_factory.mktemp("packed") / "run")
    pack(folder, signer)
    return folder


@pytest.fixture
def folder(packed: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(packed, tmp_path / "run"))


def check(folder: Path, signer: Signer) -> Verified:
    return verify_folder(folder, {signer.fingerprint: "infra"})


def test_an_untouched_bundle_is_intact(packed: Path, signer: Signer) -> None:
    assert check(packed, signer) == Verified(signer="infra", files=len(FILES))
    assert check(packed, signer).is_intact


def test_the_same_files_give_the_same_bundle(packed: Path, tmp_path: Path, signer: Signer) -> None:
    again = write(tmp_path / "elsewhere")
    pack(again, signer)
    for name in (NAME, SIGNATURE):
        assert (again / name).read_bytes() == (packed / name).read_bytes()


@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(
    data: st.DataObject, packed: Path, tmp_path_factory: pytest.TempPathFactory, signer: Signer
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    for name in (NAME, SIGNATURE):
        shutil.copy(packed / name, folder)
    path = folder / data.draw(st.sampled_from((NAME, SIGNATURE)))
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert not verify(folder / NAME, {signer.fingerprint: "infra"}).is_intact


@given(cut=st.integers(min_value=1, max_value=200))
def test_a_bundle_that_ends_early_is_found(
    cut: int, packed: Path, tmp_path_factory: pytest.TempPathFactory, signer: Signer
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    content = (packed / NAME).read_bytes()
    (folder / NAME).write_bytes(content[: max(0, len(content) - cut)])
    shutil.copy(packed / SIGNATURE, folder)
    found = verify(folder / NAME, {signer.fingerprint: "infra"})
    assert "the signature is not of this bundle" in found.changed


def _flip(folder: Path) -> None:
    (folder / "journal.jsonl").write_text('{"a": 0}\n')


def _lose(folder: Path) -> None:
    (folder / "evidence/ab.txt").unlink()


def _add(folder: Path) -> None:
    (folder / "evidence/extra.txt").write_text("found later")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_flip, "in the folder, journal.jsonl was changed"),
        (_lose, "in the folder, evidence/ab.txt is missing"),
        (_add, "in the folder, evidence/extra.txt is not in the manifest"),
    ],
)
def test_a_folder_that_is_not_what_was_signed_is_found(
    folder: Path, signer: Signer, change: Callable[[Path], None], says: str
) -> None:
    change(folder)
    assert check(folder, signer).changed == (says,)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (lambda lines: lines[1:], "evidence/ab.txt is not in the manifest"),
        (lambda lines: [*lines, f"{'0' * 64}  zz.txt\n"], "zz.txt is missing"),
        (lambda lines: ["0" + lines[0][1:], *lines[1:]], "evidence/ab.txt was changed"),
    ],
)
def test_a_bundle_that_is_not_its_own_manifest_is_found_even_when_it_is_signed(
    tmp_path: Path,
    signer: Signer,
    monkeypatch: pytest.MonkeyPatch,
    manifest: Callable[[list[str]], list[str]],
    says: str,
) -> None:
    add = bundle._add

    def lying(archive: object, name: str, content: object) -> None:
        if name == MANIFEST:
            lines = content.read().decode().splitlines(keepends=True)  # type: ignore[attr-defined]
            lines[0] = lines[0] if lines[0][0] != "0" else "1" + lines[0][1:]
            content = io.BytesIO("".join(manifest(lines)).encode())
        add(archive, name, content)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle, "_add", lying)
    folder = write(tmp_path / "run")
    pack(folder, signer)
    assert says in verify(folder / NAME, {signer.fingerprint: "infra"}).changed


def test_the_signature_of_another_bundle_is_found(
    folder: Path, tmp_path: Path, signer: Signer
) -> None:
    other = write(tmp_path / "other")
    (other / "verdict.json").write_text('{"decision": "GO"}')
    pack(other, signer)
    shutil.copy(other / SIGNATURE, folder)
    assert check(folder, signer).changed == ("the signature is not of this bundle",)


def test_a_key_that_nobody_pinned_is_not_believed(folder: Path, signer: Signer) -> None:
    stranger = Signer(Ed25519PrivateKey.generate())
    pack(folder, stranger)
    found = check(folder, signer)
    assert not found.changed
    assert found.doubts == (f"it is signed by the key {found.signer}, which is not pinned",)


def test_a_bundle_without_a_signature_is_not_believed(folder: Path, signer: Signer) -> None:
    (folder / SIGNATURE).unlink()
    (doubt,) = check(folder, signer).doubts
    assert doubt.startswith("there is no signature")


def test_no_bundle_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no bundle"):
        verify(tmp_path / NAME, {})


def test_a_machine_makes_its_key_once_and_keeps_it_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first, again = Signer.load(), Signer.load()
    assert first.fingerprint == again.fingerprint
    key = tmp_path / "cutover/signing.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert fingerprint(read_public(key.with_suffix(".pub"))) == first.fingerprint
    assert believed(tmp_path / "nothing") == {first.fingerprint: "this machine's own key"}
    assert first.derived("a") == again.derived("a") != first.derived("b")


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("nonsense", 0o600, "cannot use the signing key"),
        ("nonsense", 0o644, "may be read by others"),
        (None, 0, "cannot use the signing key"),
    ],
)
def test_a_key_that_cannot_be_used_is_wrong_usage(
    tmp_path: Path, text: str | None, mode: int, says: str
) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(ConfigError, match=says):
        Signer.load(path)


def test_every_run_leaves_a_signed_bundle_that_verify_believes(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write()
    project.run()
    monkeypatch.setattr(command, "ROOT", project.pytester.path)

    def ends(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["cutover", "verify", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    assert ends() == 0
    assert "signed by this machine's own key" in capfd.readouterr().out
    path = project.reports / "latest" / NAME
    assert ends(str(path), "--json") == 0
    pinned = project.pytester.path / "other.pub"
    Signer.load(_other_key(project.pytester.path, pinned))
    assert ends(str(path), "--signer", str(pinned)) == 3
    path.write_bytes(path.read_bytes()[:-1])
    assert ends(str(path)) == 1
    assert ends("nothing") == 2


def _other_key(folder: Path, public: Path) -> Path:
    """A second key, by making another machine's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "another"))
        Signer.load()
    shutil.copy(folder / "another/cutover/signing.pub", public)
    return folder / "another/cutover/signing.key"
