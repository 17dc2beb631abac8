"""A part of the platform as a web service of FastAPI: its module adds the routes.

Its answers carry its version, and what may be wrong with any answer.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from itertools import count

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware

from . import defects, health, settings

STALL_S = 5

Next = Callable[[Request], Awaitable[Response]]


def application() -> FastAPI:
    """The web service of one part."""
    app = FastAPI(title=f"{settings.PART}-service", redirect_slashes=False)
    importlib.import_module(f".{settings.PART}", __package__).add(app)

    async def versioned(request: Request, answer: Next) -> Response:
        response = await answer(request)
        response.headers[health.HEADER] = health.VERSION
        return response

    app.middleware("http")(versioned)
    # The pages of frontend-service call from another host.
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"]
    )
    if defects.WANTED:
        _spoil(app)
    return app


def _spoil(app: FastAPI) -> None:
    """Let every answer have the defects that are switched on."""
    requests = count(1)

    async def misbehave(request: Request, answer: Next) -> Response:
        number = next(requests)
        if defects.on("stall") and number % 20 == 0:
            await asyncio.sleep(STALL_S)
        if defects.on("errors") and number % 100 == 0:
            return Response('{"detail": "Internal server error"}', 500)
        return await _changed(await answer(request))

    app.middleware("http")(misbehave)


async def _changed(answer: Response) -> Response:
    if defects.on("lost-header"):
        del answer.headers[health.HEADER]
    if defects.on("insecure-cookie") and "set-cookie" in answer.headers:
        answer.headers["set-cookie"] = answer.headers["set-cookie"].replace("; Secure", "")
    if defects.on("error-body") and answer.status_code >= 400:
        answer.status_code = 200
    if defects.on("renamed-field") and answer.headers.get("content-type") == "application/json":
        body = json.loads(b"".join([part async for part in answer.body_iterator]))
        if isinstance(body, dict) and "status" in body:
            body["state"] = body.pop("status")
        headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
        return Response(json.dumps(body, separators=(",", ":")), answer.status_code, headers)
    return answer


def serve() -> None:
    """Be the server."""
    uvicorn.run(
        application(),
        host=settings.HOST,
        port=settings.PORT,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=settings.KEEP_ALIVE_S,
    )
