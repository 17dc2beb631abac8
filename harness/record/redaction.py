"""Removes secrets from everything before it is written, by value and by pattern.

By value: the contents of the profile's own key files, and every secret recognised before. By
pattern: secrets that were not announced. The name beside a secret stays, and a token replaces the
secret. The same secret gets the same token, so two machines with the same wrong password can still
be told from two with different ones. A token is keyed, so the secret cannot be found by trying.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets as randomness
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from harness.record.records import Redacted
from harness.settings import Profile
from harness.settings.files import read_yaml

TOKEN = re.compile("‹redacted:[0-9a-f]{8}›")
_SHORTEST = 8  # a shorter value would turn up everywhere by chance
_LEARNED = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])\S{12,}")  # no word of a language
_NAME = r"(?:pass(?:word|wd|phrase)|secret|token|api[-_]?key|client-key-data|private[-_]?key)"
_NAMED = re.compile(rf"(?i)^[\w.-]*{_NAME}$")
# JSON inside JSON, as kubectl's annotations have it, escapes its quotes.
_QUOTE = r"\\*[\"']?"
_SPACE = r"(?:\s|\\+[nt])*"
_VALUE = r"((?:[^\s\"',;\\]|\\(?!\\*[\"']))+)"
# Each keeps its first group and loses its second.
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "private key": re.compile(
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?!‹redacted:)"
        r"(.+?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))",
        re.S,
    ),
    "named value": re.compile(
        rf"(?i)({_NAME}{_QUOTE}{_SPACE}[:=]{_SPACE}{_QUOTE})(?!‹redacted:){_VALUE}"
    ),
    # An environment variable as Kubernetes writes it.
    "value beside its name": re.compile(
        rf"(?i)(\bname{_QUOTE}{_SPACE}:{_SPACE}{_QUOTE}[\w.-]*{_NAME}{_QUOTE}{_SPACE},?{_SPACE}"
        rf"{_QUOTE}value{_QUOTE}{_SPACE}:{_SPACE}{_QUOTE})(?!‹redacted:){_VALUE}"
    ),
    "bearer token": re.compile(r"(?i)(\bBearer\s+)([\w.~+/=-]+)"),
    "web token": re.compile(r"()(\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"),
    "password in a URL": re.compile(
        r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]+:)(?!‹redacted:)([^\s@/]+)(?=@)"
    ),
    "Ceph key": re.compile(r"()(\bAQ[A-Za-z0-9+/]{36}==)"),
}
_KNOWN = "known value"


class Redactor:
    """Removes known values, and values that look like secrets, and leaves the rest.

    ``key`` makes the tokens: with the same key, the same secret has the same token in every run.
    Safe to use from several threads.
    """

    def __init__(self, secrets: Iterable[str] = (), key: bytes | None = None) -> None:
        self._key = key or randomness.token_bytes(32)
        self._lock = threading.Lock()
        self._secret_of: dict[str, str] = {}
        self._known: re.Pattern[str] | None = None
        self._places: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._know(secrets)

    def text(self, text: str) -> str:
        """A text without its secrets."""
        text = self._without_known(text)
        known = len(self._secret_of)
        for rule, pattern in _PATTERNS.items():
            text = pattern.sub(self._replacement(rule), text)
        # A secret that was just recognised may occur again in the same text, without its name.
        return text if len(self._secret_of) == known else self._without_known(text)

    def _without_known(self, text: str) -> str:
        if self._known is None:
            return text
        return self._known.sub(lambda found: self._token(_KNOWN, found[0]), text)

    def value(self, value: object) -> object:
        """A JSON value without its secrets, including those that only a name reveals."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            named = str(value.get("name", ""))  # a container's {"name": "PGPASSWORD", "value": …}
            return {
                self._key_text(key): self._under(named if key == "value" else key, held)
                for key, held in value.items()
            }
        if isinstance(value, Sequence):
            return [self.value(held) for held in value]
        return value

    def hide(self, secret: str) -> None:
        """Register a secret that the harness has just made or received."""
        self._know([secret])

    def learn(self, texts: Iterable[str]) -> None:
        """Register every secret that stands beside its name in one of the texts, for all texts."""
        found = (
            it[2] for text in texts for rule in _PATTERNS.values() for it in rule.finditer(text)
        )
        self._know({secret for secret in found if self._is_news(secret)})

    def files(self, paths: Sequence[Path]) -> None:
        """Remove the secrets from another program's files, of any format.

        A secret that one file shows beside its name is removed from the other files too.
        """
        self.learn(map(_content, paths))
        for path in paths:
            content = _content(path)
            clean = self.text(content)
            if clean != content:
                path.write_bytes(clean.encode(errors="surrogateescape"))

    def report(self) -> Redacted:
        """The removed secrets so far: places by rule, and occurrences of each token."""
        with self._lock:
            return Redacted(places=dict(self._places), tokens=dict(self._tokens))

    def _key_text(self, key: object) -> object:
        return self.text(key) if isinstance(key, str) else key

    def _under(self, name: object, held: object) -> object:
        if isinstance(held, str) and held and _NAMED.match(str(name)):
            return self._taken("named value", held)
        return self.value(held)

    def _replacement(self, rule: str) -> Callable[[re.Match[str]], str]:
        return lambda found: found[1] + self._taken(rule, found[2])

    def _taken(self, rule: str, secret: str) -> str:
        """The token for a secret that was recognised here: it is known everywhere from now on."""
        if TOKEN.fullmatch(secret):
            return secret
        if self._is_news(secret):
            self._know([secret])
        return self._token(rule, secret)

    def _is_news(self, secret: str) -> bool:
        return secret not in self._secret_of and _LEARNED.fullmatch(secret) is not None

    def _token(self, rule: str, found: str) -> str:
        secret = self._secret_of.get(found, found)
        # Bytes that are no text, in a file or in JSON, become surrogates.
        content = secret.encode(errors="surrogatepass")
        token = f"‹redacted:{hmac.new(self._key, content, hashlib.sha256).hexdigest()[:8]}›"
        with self._lock:
            self._places[rule] += 1
            self._tokens[token] += 1
        return token

    def _know(self, secrets: Iterable[str]) -> None:
        with self._lock:
            for secret in (it for it in secrets if len(it) >= _SHORTEST):
                coded = base64.b64encode(secret.encode(errors="replace")).decode()
                in_url = quote(secret, safe="", errors="replace")
                self._secret_of |= dict.fromkeys((secret, coded, in_url), secret)
            longest_first = sorted(self._secret_of, key=len, reverse=True)
            if longest_first:
                self._known = re.compile("|".join(map(re.escape, longest_first)))


def secrets_of(profile: Profile) -> set[str]:
    """Secrets in the profile's key and kubeconfig, which must never be written anywhere.

    ConfigError when the kubeconfig exists and is not YAML.
    """
    key = _read(profile.access.ssh.key)
    lines = {line for line in key.splitlines() if not line.startswith("-----")}
    # An unreadable file ends the command: its secrets would stay unknown.
    held = read_yaml(profile.access.kubeconfig) if profile.access.kubeconfig.exists() else None
    return lines | set(_secret_values(held))


def _read(path: Path) -> str:
    """A file's text; empty for a missing file, which the code that needs it reports."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _content(path: Path) -> str:
    return path.read_bytes().decode(errors="surrogateescape")


def _secret_values(node: object) -> Iterable[str]:
    if isinstance(node, Mapping):
        for key, held in node.items():
            if isinstance(held, str) and _NAMED.match(str(key)):
                yield held
            else:
                yield from _secret_values(held)
    elif isinstance(node, list):
        for held in node:
            yield from _secret_values(held)
