"""Backups of a customer as real files: a dump, a tar.gz and metadata, or Odoo's zip."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.backup.restore.archive_script import Limits
from harness.backup.restore.inspect_script import Order

DATABASE = "odoo_demo_1a2b3c4d"
CONTENTS = (b"an invoice", b"a picture", b"")
FILES = {f"{name[:2]}/{name}": it for it in CONTENTS for name in [hashlib.sha1(it).hexdigest()]}
LIMITS = Limits(bytes=1 << 30, entries=100, ratio=100.0)
TOKEN = "Qx7fWc"
DUMP = """\
--
-- PostgreSQL database dump
--

\\restrict {token}

-- Dumped from database version 15.14
SET client_encoding = 'UTF8';

CREATE FUNCTION public.load() RETURNS void LANGUAGE sql AS $$
COPY public.other (id) FROM stdin;
-- PostgreSQL database dump complete
$$;

--
-- Data for Name: ir_attachment; Type: TABLE DATA; Schema: public; Owner: odoo
--

COPY public.ir_attachment (id, name, store_fname, "type") FROM stdin;
{attachments}\\.


--
-- Data for Name: ir_config_parameter; Type: TABLE DATA; Schema: public; Owner: odoo
--

COPY public.ir_config_parameter (key, value) FROM stdin;
database.uuid\t6d1c0000-demo
\\.


--
-- PostgreSQL database dump complete
--

\\unrestrict {token}

"""


def dump(files: Sequence[str] = tuple(FILES)) -> bytes:
    """A plain dump as pg_dump 15.14 writes it."""
    rows = [f"{at}\tfile {at}\t{name}\tbinary\n" for at, name in enumerate(files)]
    rows.append(f"{len(rows)}\ta link\t\\N\turl\n")
    return DUMP.format(token=TOKEN, attachments="".join(rows)).encode()


def tar(
    files: Mapping[str, bytes] = FILES, *more: tarfile.TarInfo, filestore: str = DATABASE
) -> bytes:
    """A tar.gz as the platform makes it, with more members at its end."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        folder = tarfile.TarInfo("./filestore")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"./filestore/{filestore}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in more:
            archive.addfile(member)
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """A member of a tar, without content."""
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


def metadata(database: bytes, data: bytes, **changes: Any) -> bytes:
    """What the platform says of a backup."""
    said = {
        "backup_name": f"{DATABASE}_20261129_120000",
        "database_name": DATABASE,
        "customer_id": "c-1",
        "created_at": datetime.now(UTC).replace(tzinfo=None).isoformat(),
        "database_size": len(database),
        "data_size": len(data),
        "status": "completed",
    }
    return json.dumps(said | changes).encode()


def write(
    folder: Path,
    *,
    database: bytes | None = None,
    data: bytes | None = None,
    said: Callable[[bytes, bytes], bytes] = metadata,
    name: str = f"{DATABASE}_20261129_120000",
) -> str:
    """The three files of a backup; its name."""
    database = dump() if database is None else database
    data = tar() if data is None else data
    (folder / f"{name}_database.sql").write_bytes(database)
    (folder / f"{name}_data.tar.gz").write_bytes(data)
    (folder / f"{name}_metadata.json").write_bytes(said(database, data))
    return name


def odoo_zip(
    path: Path,
    *,
    database: bytes | None = None,
    files: Mapping[str, bytes] = FILES,
    more: Sequence[tuple[str, int, bytes]] = (),
    said: Mapping[str, str] | None = None,
) -> str:
    """Odoo's own zip, with more entries (name, mode, content); its name."""
    told = {"odoo_dump": "1", "db_name": DATABASE, "version": "17.0", "pg_version": "15.0"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dump.sql", dump() if database is None else database)
        archive.writestr("manifest.json", json.dumps({**told, **(said or {})}))
        for name, content in files.items():
            archive.writestr(f"filestore/{name}", content)
        for name, mode, content in more:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return path.name


def own_files(folder: Path) -> str:
    """The customer's own filestore, made if it is not there; its path."""
    place = folder / "own"
    if not place.exists():
        for name, content in FILES.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
    return str(place)


def order(folder: Path, name: str, **changes: Any) -> Order:
    """The order to inspect one of them."""
    asked = Order(
        format="zip" if name.endswith(".zip") else "files",
        folder=str(folder),
        name=name,
        database=DATABASE,
        metadata={},
        holds="6d1c0000-demo",
        asked=time.time() - 60,
        filestore=f"filestore/{DATABASE}",
        own_files=own_files(folder),
        limits=LIMITS,
    )
    return {**asked, **changes}  # type: ignore[typeddict-item]


def zeros(size: int) -> bytes:
    """A gzip of zeros."""
    return gzip.compress(bytes(size))
