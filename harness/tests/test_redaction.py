"""A planted canary never reaches the disk, and what is no secret stays."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record.journal import Journal
from harness.record.redaction import TOKEN, Redactor, secrets_of
from harness.settings import Profile
from harness.tests.stage import PROFILE

REDACTED = "‹redacted›"
CANARY = "c4n4ry-5up3r-s3cr3t"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"
CEPH = "AQ" + "c4n4ry" * 6 + "=="


def plain(text: str) -> str:
    """The text with every token replaced by the same word."""
    return TOKEN.sub(REDACTED, text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"password={CANARY}", f"password={REDACTED}"),
        (f'"PGPASSWORD": "{CANARY}"', f'"PGPASSWORD": "{REDACTED}"'),
        (f"client-key-data: {CANARY}", f"client-key-data: {REDACTED}"),
        (f"Authorization: Bearer {CANARY}", f"Authorization: Bearer {REDACTED}"),
        (f"seen {JWT} here", f"seen {REDACTED} here"),
        (f"postgresql://odoo:{CANARY}@db/odoo", f"postgresql://odoo:{REDACTED}@db/odoo"),
        (f"key = {CEPH}", f"key = {REDACTED}"),
        (
            f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
            f"-----BEGIN EC PRIVATE KEY-----{REDACTED}",
        ),
        (f"-----BEGIN PRIVATE KEY-----\n{CANARY}", f"-----BEGIN PRIVATE KEY-----{REDACTED}"),
    ],
)
def test_what_looks_like_a_secret_goes_and_its_name_stays(text: str, left: str) -> None:
    assert plain(Redactor().text(text)) == left


@pytest.mark.parametrize(
    "text",
    [
        "vmi2887101: expected p99 of at most 10 ms, seen 14.2 ms",
        "/var/lib/rancher/rke2/server/tls/etcd/ca.crt is missing",
        "secrets is forbidden: User cannot list resource secrets",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "postgresql://db:5432/odoo",
        "net.ipv4.ip_forward = 1",
        "0d9f6c1e-1111-2222-3333-444455556666",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor([CANARY]).text(text) == text


@given(before=st.text(), after=st.text())
def test_a_known_value_goes_wherever_it_stands(before: str, after: str) -> None:
    assert CANARY not in Redactor([CANARY]).text(f"{before}{CANARY}{after}")


def test_a_secret_that_only_its_key_names_goes() -> None:
    value = {"data": {"db-password": CANARY, "name": "odoo"}, "list": [{"token": CANARY}]}
    left = {"data": {"db-password": REDACTED, "name": "odoo"}, "list": [{"token": REDACTED}]}
    assert json.loads(plain(json.dumps(Redactor().value(value), ensure_ascii=False))) == left


def test_a_secret_in_a_containers_environment_goes() -> None:
    env = [{"name": "PGPASSWORD", "value": CANARY}, {"name": "PORT", "value": "5432"}]
    left = [{"name": "PGPASSWORD", "value": REDACTED}, {"name": "PORT", "value": "5432"}]
    assert json.loads(plain(json.dumps(Redactor().value(env), ensure_ascii=False))) == left


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_secret_in_the_text_of_an_object_goes_however_often_it_is_quoted(
    depth: int, indent: int | None
) -> None:
    listing: Any = {"env": [{"name": "PGPASSWORD", "value": CANARY}, {"name": "A", "value": "b"}]}
    text = json.dumps(listing, indent=indent)
    for _ in range(depth):
        text = json.dumps({"last-applied-configuration": text}, indent=indent)
    clean = Redactor().text(text)
    assert CANARY not in clean
    assert plain(clean) == text.replace(CANARY, REDACTED)


def test_what_a_text_tells_at_its_end_goes_at_its_beginning_too() -> None:
    clean = Redactor().text(f"login with {CANARY} failed, password={CANARY}")
    assert plain(clean) == f"login with {REDACTED} failed, password={REDACTED}"


def test_equal_secrets_have_equal_tokens_and_others_have_not() -> None:
    redactor = Redactor(key=b"k")
    one, again, other = (redactor.text(f"password={it}") for it in (CANARY, CANARY, "another"))
    assert one == again != other
    assert Redactor(key=b"k").text(f"password={CANARY}") == one
    assert Redactor(key=b"x").text(f"password={CANARY}") != one


def test_a_secret_that_was_seen_once_is_known_from_then_on() -> None:
    redactor = Redactor()
    redactor.text(f"password={CANARY}")
    coded = base64.b64encode(CANARY.encode()).decode()
    assert plain(redactor.text(f"login {CANARY} or {coded}")) == f"login {REDACTED} or {REDACTED}"


def test_a_word_that_was_no_secret_is_not_learned() -> None:
    redactor = Redactor()
    redactor.text("token: unauthorized")
    assert redactor.text("it is unauthorized") == "it is unauthorized"


@given(
    text=st.text()
    | st.sampled_from((f"a password={CANARY}), b", f"-----BEGIN PRIVATE KEY-----{CANARY}"))
)
def test_what_is_redacted_already_stays_as_it_is(text: str) -> None:
    redactor = Redactor(["known-secret"])
    once = redactor.text(text + "known-secret")
    assert redactor.text(once) == once


def test_the_report_counts_places_by_rule_and_names_no_secret() -> None:
    redactor = Redactor([CANARY])
    redactor.text(f"{CANARY} {CANARY} password=hunter2")
    report = redactor.report()
    assert report["places"] == {"known value": 2, "named value": 1}
    assert sorted(report["tokens"].values()) == [1, 2]
    assert CANARY not in json.dumps(report)


@pytest.mark.parametrize("size", [1, 50_000])
@pytest.mark.parametrize("wrap", [str, lambda it: {"a": [it]}, lambda it: {"a": {"b": f"<{it}>"}}])
def test_a_canary_in_an_observation_never_reaches_the_disk(
    tmp_path: Path, size: int, wrap: Any
) -> None:
    with Journal.create(tmp_path / "run", "run", Redactor([CANARY])) as journal:
        record = journal.append("observation", "probe", {"pad": "x" * size, "value": wrap(CANARY)})
    assert CANARY not in json.dumps(record.data)
    for path in (tmp_path / "run").rglob("*.json*"):
        assert CANARY not in path.read_text()


def test_the_profiles_own_keys_are_known(tmp_path: Path) -> None:
    kubeconfig = {"users": [{"user": {"client-key-data": CANARY, "token": "t0k3n-of-the-user"}}]}
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    (tmp_path / "key").write_text(f"-----BEGIN X-----\n{CANARY}2\n-----END X-----\n")
    access = {
        "ssh": {"key": f"{tmp_path}/key", "known_hosts": f"{tmp_path}/known_hosts"},
        "kubeconfig": f"{tmp_path}/kubeconfig",
    }
    profile = Profile.model_validate({**PROFILE, "access": access})
    assert secrets_of(profile) == {CANARY, f"{CANARY}2", "t0k3n-of-the-user"}


def test_a_profile_without_key_files_has_no_secrets() -> None:
    assert secrets_of(Profile.model_validate(PROFILE)) == set()
