"""A customer's instance: a small web application with a database and a filestore of its own.

Its page reads both. /web/health is static, as Odoo's is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from . import settings
from .postgres import Postgres, Row

DATA = Path(os.environ.get("DATA_FOLDER", "/var/lib/odoo"))
CUSTOMER = os.environ.get("CUSTOMER", "")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def add(app: FastAPI) -> None:
    """The routes of an instance."""
    to = settings.Database(
        settings.POSTGRES_HOST,
        settings.POSTGRES_PORT,
        os.environ.get("POSTGRES_DB", ""),
        os.environ.get("DB_SERVICE_USER", ""),
        os.environ.get("DB_SERVICE_PASSWORD", ""),
    )
    odoo = Odoo(Postgres(to), DATA / "filestore" / to.name)
    app.add_api_route("/", odoo.page)
    app.add_api_route("/web/health", lambda: {"status": "pass"})
    app.add_api_route("/web/database", odoo.database)
    app.add_api_route("/web/content/{name}", odoo.read)
    app.add_api_route("/web/content/{name}", odoo.write, methods=["PUT"])


class Odoo:
    """The requests of an instance."""

    def __init__(self, postgres: Postgres, filestore: Path) -> None:
        self._postgres = postgres
        self._filestore = filestore

    def page(self) -> HTMLResponse:
        found = self._postgres.row("select count(*) as partners from res_partner")
        assert found is not None
        self._filestore.mkdir(parents=True, exist_ok=True)
        words = f"<p>Odoo of {CUSTOMER}: {found['partners']} partners</p>\n"
        return HTMLResponse(words)

    def database(self) -> Row:
        """What is in the database, to compare it before and after."""
        parameters = self._postgres.rows("select key, value from ir_config_parameter order by key")
        files = self._postgres.rows("select name, checksum from ir_attachment order by name")
        crons = self._postgres.row("select count(*) as running from ir_cron where active")
        server = self._postgres.row("select inet_server_addr()::text as address")
        assert crons is not None
        assert server is not None
        return {
            "parameters": {row["key"]: row["value"] for row in parameters},
            "attachments": {row["name"]: row["checksum"] for row in files},
            "active_crons": crons["running"],
            "server": server["address"],
        }

    def read(self, name: str) -> Response:
        """A file of the filestore, which the database names."""
        found = self._postgres.row("select * from ir_attachment where name = %s", name)
        path = found and self._filestore / found["store_fname"]
        if not path or not path.exists():
            raise HTTPException(404, "No such attachment")
        return Response(path.read_bytes(), media_type="application/octet-stream")

    async def write(self, name: str, request: Request) -> dict[str, Any]:
        """Keep a file in the filestore, and its name in the database; 507 when it is full."""
        if not NAME.fullmatch(name):
            raise HTTPException(400, "Bad name")
        content = await request.body()
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        stored = f"{digest[:2]}/{digest}"
        path = self._filestore / stored
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno in (errno.EDQUOT, errno.ENOSPC):
                raise HTTPException(507, "The storage of this instance is full") from error
            raise
        self._postgres.rows(
            "insert into ir_attachment (name, store_fname, checksum, file_size)"
            " values (%s, %s, %s, %s) on conflict (name) do update set store_fname ="
            " excluded.store_fname, checksum = excluded.checksum, file_size = excluded.file_size",
            *(name, stored, digest, len(content)),
        )
        return {"name": name, "checksum": digest, "size": len(content)}
