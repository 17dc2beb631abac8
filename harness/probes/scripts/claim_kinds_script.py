"""Runs in a pod, as a part of ``claim_script``: a file's metadata that must be kept.

Standard library of Python 3.8 only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

ACL = "system.posix_acl_access"
MODIFIED_NS = 1_234_567_890_123_456_789
ATTRIBUTE = bytes(range(256))
NOT_UTF8 = b"gr\xfc\xdfe \xff\xfe"
LONGEST = b"n" * 255
LINK = "../nowhere/gr\u00fc\u00dfe"
HOLE = 8 << 20
# Version 2 of the kernel's form: tag, permissions and id of each entry, in its canonical order.
ENTRIES = ((0x01, 6, 0xFFFFFFFF), (0x02, 4, 12345), (0x04, 4, 0xFFFFFFFF), (0x10, 6, 0xFFFFFFFF))
ACCESS = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry) for entry in (*ENTRIES, (0x20, 0, 0xFFFFFFFF))
)


def sparse() -> bytes:
    return hashlib.shake_128(b"before the hole").digest(4096)


def adorn(folder: str, group: int) -> dict[str, object]:
    """Make each kind of metadata that a file system must keep; return what a reader must see."""
    at = Path(folder)
    for path in (at, at / "names", at / "sticky"):
        path.mkdir()
    for name in ("mode", "owner", "attribute", "list", "modified", "one"):
        (at / name).write_bytes(name.encode())
    (at / "mode").chmod(0o4751)
    (at / "sticky").chmod(0o1777)
    os.chown(at / "owner", -1, group)
    os.setxattr(at / "attribute", "user.cutover", ATTRIBUTE)
    (at / "link").symlink_to(LINK)
    os.link(at / "one", at / "two")
    with (at / "sparse").open("wb") as file:
        file.write(sparse())
        file.seek(HOLE)
        file.write(sparse())
    for odd in (NOT_UTF8, LONGEST):
        (at / "names" / os.fsdecode(odd)).touch()
    os.utime(at / "modified", ns=(MODIFIED_NS, MODIFIED_NS))
    refused = ""
    try:
        os.setxattr(at / "list", ACL, ACCESS)
    except OSError as error:
        refused = words(error)
    at.chmod(0o755)
    hole = sparse() + bytes(HOLE - 4096) + sparse()
    return {
        "list_refused": refused,
        "wanted": {
            "mode": "0o4751",
            "sticky folder": "0o1777",
            "owner": f"{os.getuid()}:{group}",
            "extended attribute": ATTRIBUTE.hex(),
            "access list": ACCESS.hex(),
            "symbolic link": LINK,
            "hard link": "2 names of one file",
            "sparse file": hashlib.sha256(hole).hexdigest(),
            "modification time": str(MODIFIED_NS),
            "names": " ".join(sorted(name.hex() for name in (NOT_UTF8, LONGEST))),
        },
    }


def describe(folder: str) -> dict[str, str]:
    """The same things, as this reader sees them; an error takes the place of a value."""
    at = Path(folder)
    looks: dict[str, Callable[[], str]] = {
        "mode": lambda: oct(stat.S_IMODE((at / "mode").stat().st_mode)),
        "sticky folder": lambda: oct(stat.S_IMODE((at / "sticky").stat().st_mode)),
        "owner": lambda: "{0.st_uid}:{0.st_gid}".format((at / "owner").stat()),
        "extended attribute": lambda: os.getxattr(at / "attribute", "user.cutover").hex(),
        "access list": lambda: os.getxattr(at / "list", ACL).hex(),
        "symbolic link": lambda: os.readlink(at / "link"),  # noqa: PTH115 (3.9)
        "hard link": lambda: hard_link((at / "one").stat(), (at / "two").stat()),
        # CephFS derives the number of blocks from the size: a hole shows only by its content.
        "sparse file": lambda: hashlib.sha256((at / "sparse").read_bytes()).hexdigest(),
        "modification time": lambda: str((at / "modified").stat().st_mtime_ns),
        "names": lambda: " ".join(
            sorted(os.fsencode(p.name).hex() for p in (at / "names").iterdir())
        ),
    }
    return {what: seen(look) for what, look in looks.items()}


def hard_link(one: os.stat_result, two: os.stat_result) -> str:
    return f"{one.st_nlink} names of {'one file' if one.st_ino == two.st_ino else 'two files'}"


def seen(look: Callable[[], str]) -> str:
    try:
        return look()
    except OSError as error:
        return words(error)


def words(error: OSError) -> str:
    name = errno.errorcode.get(error.errno, "OSError") if error.errno else type(error).__name__
    return f"{name} ({error.strerror or error})"
