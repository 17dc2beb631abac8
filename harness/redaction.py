"""Secrets are taken out of everything before it is written: by value, and by what they look like.

By value, whatever a profile's own key files hold; by pattern, what nobody announced. The name
beside a secret stays, so that a reader knows what was there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.settings import Profile

REDACTED = "‹redacted›"
_SHORTEST = 8  # a shorter value would turn up everywhere by chance
_NAME = r"(?:pass(?:word|wd|phrase)|secret|token|api[-_]?key|client-key-data|private[-_]?key)"
_NAMED = re.compile(rf"(?i)^[\w.-]*{_NAME}$")
# Each keeps its first group and loses the rest.
_PATTERNS = (
    re.compile(
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).+?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
    ),
    re.compile(rf"(?i)(\b[\w.-]*{_NAME}[\"']?\s*[:=]\s*[\"']?)[^\s\"',;]+"),
    re.compile(r"(?i)(\bBearer\s+)[\w.~+/=-]+"),
    re.compile(r"()\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),  # a JSON web token
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]+:)[^\s@/]+(?=@)"),  # a URL with a password
    re.compile(r"()\bAQ[A-Za-z0-9+/]{36}=="),  # a Ceph key
)


class Redactor:
    """Takes known values and whatever looks like a secret out of a value, and leaves the rest."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({it for it in secrets if len(it) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """A text without its secrets."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{REDACTED}", text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without its secrets, those included that only their key names."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self._key(key): self._under(key, held) for key, held in value.items()}
        if isinstance(value, Sequence):
            return [self.value(held) for held in value]
        return value

    def file(self, path: Path) -> None:
        """Take the secrets out of a text file that somebody else wrote."""
        text = path.read_text(encoding="utf-8")
        clean = self.text(text)
        if clean != text:
            path.write_text(clean, encoding="utf-8")

    def _key(self, key: Any) -> Any:
        return self.text(key) if isinstance(key, str) else key

    def _under(self, key: Any, held: Any) -> Any:
        if isinstance(held, str) and held and _NAMED.match(str(key)):
            return REDACTED
        return self.value(held)


def secrets_of(profile: Profile) -> set[str]:
    """What the profile's key and kubeconfig hold that must never be written anywhere."""
    key, kubeconfig = _read(profile.access.ssh.key), _read(profile.access.kubeconfig)
    lines = {line for line in key.splitlines() if not line.startswith("-----")}
    try:
        return lines | set(_secret_values(yaml.safe_load(kubeconfig)))
    except yaml.YAMLError:
        return lines


def _read(path: Path) -> str:
    """A file that is missing holds no secret; who needs it says that it is missing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _secret_values(node: Any) -> Iterable[str]:
    if isinstance(node, Mapping):
        for key, held in node.items():
            if isinstance(held, str) and _NAMED.match(str(key)):
                yield held
            else:
                yield from _secret_values(held)
    elif isinstance(node, list):
        for held in node:
            yield from _secret_values(held)
