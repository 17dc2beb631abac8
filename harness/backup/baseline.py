"""The manifest from before the work: recorded once, stored compressed, compared later."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard

from harness.backup.manifest import TreeManifest
from harness.core.errors import ConfigError, NotProven


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBaseline:
    """A recorded baseline: its file's SHA-256, and its sums."""

    sha256: str
    sums: Mapping[str, int]


def record(lines: Iterable[bytes], path: Path) -> RecordedBaseline:
    """Store a manifest's lines in a file, whole or not at all.

    NotProven for lines that make no whole manifest; ConfigError when the file cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # It contains the names of customers' files.
        fresh.touch(mode=0o600)
        try:
            manifest = _written(lines, fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    assert manifest.sums is not None
    return RecordedBaseline(sha256=digest(path), sums=manifest.sums)


def _written(lines: Iterable[bytes], path: Path) -> TreeManifest:
    """Read a manifest to its end while it is written and synced."""
    with path.open("wb") as file:
        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed:
            manifest = TreeManifest(_copied(lines, packed), "the manifest")
            for _ in manifest:
                pass
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _copied(lines: Iterable[bytes], packed: zstandard.ZstdCompressionWriter) -> Iterator[bytes]:
    for line in lines:
        packed.write(line)
        yield line


@contextmanager
def opened(path: Path) -> Iterator[TreeManifest]:
    """The baseline in a file; NotProven when it is damaged, also while it is read."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as packed:
        yield TreeManifest(_lines(packed), f"the baseline {path}")


def _lines(packed: zstandard.ZstdDecompressionReader) -> Iterator[bytes]:
    try:
        yield from io.BufferedReader(packed, 1 << 20)
    except zstandard.ZstdError as error:
        raise NotProven(f"the baseline is damaged: {error}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
