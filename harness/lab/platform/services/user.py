"""user-service: customers, their log-ins and sessions."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
import uuid
from dataclasses import dataclass
from urllib.parse import quote

import redis
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from . import calls, defects, health, settings
from .postgres import WITHIN_S, Postgres, Row, database_health

COOKIE = "session_token"
SESSION_S = 24 * 3600


@dataclass
class NewCustomer:
    email: str
    password: str
    first_name: str = ""
    last_name: str = ""


@dataclass
class Login:
    email: str
    password: str


def add(app: FastAPI) -> None:
    """The routes of user-service."""
    app.add_exception_handler(HTTPException, _error)
    users = Users(Postgres(settings.database()), Sessions())
    health.static(app)
    database_health(app, users.postgres)
    app.add_api_route("/auth/register", users.register, methods=["POST"], status_code=201)
    app.add_api_route("/auth/login", users.login, methods=["POST"])
    app.add_api_route("/auth/logout", users.logout, methods=["POST"])
    app.add_api_route("/auth/me", users.me)
    app.add_api_route("/users/profile", users.me)
    app.add_api_route("/users/account", users.delete, methods=["DELETE"])
    app.add_api_route("/users/internal/{customer_id}", users.internal)


def _error(_: Request, error: HTTPException) -> Response:
    """user-service words its errors in its own way."""
    words = {"error": True, "message": error.detail, "status_code": error.status_code}
    return JSONResponse(words, error.status_code)


class Sessions:
    """Who is logged in: `session:TOKEN` in Redis, for a day."""

    def __init__(self) -> None:
        self._redis = redis.Redis(
            settings.REDIS_HOST,
            settings.REDIS_PORT,
            unix_socket_path=settings.REDIS_HOST if settings.REDIS_HOST.startswith("/") else None,
            socket_timeout=WITHIN_S,
            decode_responses=True,
        )

    def begin(self, customer: str, email: str) -> str:
        """The token of a new session."""
        token = secrets.token_urlsafe(32)
        value = json.dumps({"customer_id": customer, "email": email})
        self._redis.set(f"session:{token}", value, ex=SESSION_S)
        return token

    def customer(self, token: str) -> str | None:
        """Whose session it is; None when there is none."""
        value = self._redis.get(f"session:{token}")
        return str(json.loads(value)["customer_id"]) if value else None

    def end(self, token: str) -> None:
        self._redis.delete(f"session:{token}")


class Users:
    """The requests of user-service."""

    def __init__(self, postgres: Postgres, sessions: Sessions) -> None:
        self.postgres = postgres
        self._sessions = sessions
        self._last_login: dict[str, float] = {}

    def register(self, new: NewCustomer, later: BackgroundTasks) -> Row:
        mine = self.postgres.row("select id from users where lower(email) = lower(%s)", new.email)
        if mine is not None:
            raise HTTPException(409, "Customer with this email already exists")
        name = f"{new.first_name} {new.last_name}".strip()
        customer = str(uuid.uuid4())
        self.postgres.rows(
            "insert into users (id, email, password_hash, full_name) values (%s, %s, %s, %s)",
            *(customer, new.email, hashed(new.password), name or None),
        )
        account = {"customer_id": customer, "email": new.email, "name": name}
        calls.call("POST", f"{settings.BILLING_URL}/api/billing/accounts/", account)
        later.add_task(_welcome, new.email, new.first_name)
        return {
            "success": True,
            "message": "Customer registered successfully",
            "customer": {
                "id": customer,
                "email": new.email,
                "first_name": new.first_name,
                "last_name": new.last_name,
                "requires_verification": True,
            },
        }

    def login(self, login: Login, response: Response) -> Row:
        self._limit(login.email)
        statement = "select * from users where lower(email) = lower(%s) and is_active"
        found = self.postgres.row(statement, login.email)
        if found is None or not _fits(login.password, found["password_hash"]):
            raise HTTPException(401, "Invalid email or password")
        token = self._sessions.begin(str(found["id"]), found["email"])
        response.set_cookie(
            COOKIE, token, max_age=SESSION_S, secure=True, httponly=True, samesite="lax"
        )
        tokens = {"access_token": token, "token_type": "bearer", "expires_in": SESSION_S}
        words = {"success": True, "message": "Login successful"}
        return {**words, "customer": _shown(found), "tokens": tokens}

    def logout(self, request: Request, response: Response) -> Row:
        self._customer(request)
        self._sessions.end(_token(request))
        response.delete_cookie(COOKIE)
        return {"success": True, "message": "Logout successful"}

    def me(self, request: Request) -> Row:
        return _shown(self._customer(request))

    def delete(self, request: Request, confirmation: str = "") -> Row:
        """Remove a customer for good, in billing and mail too."""
        if confirmation != "DELETE":
            raise HTTPException(400, "Account deletion requires confirmation")
        found = self._customer(request)
        customer, email = str(found["id"]), quote(found["email"])
        calls.call("DELETE", f"{settings.BILLING_URL}/api/billing/accounts/{customer}")
        history = f"{settings.NOTIFICATION_URL}/api/v1/emails/history"
        calls.call("DELETE", f"{history}?recipient={email}")
        self.postgres.rows("delete from users where id = %s", customer)
        self._sessions.end(_token(request))
        return {"success": True, "message": "Account deleted successfully"}

    def internal(self, customer_id: uuid.UUID) -> Row:
        found = self.postgres.row("select * from users where id = %s", customer_id)
        if found is None:
            raise HTTPException(404, "Customer not found")
        return _shown(found)

    def _customer(self, request: Request) -> Row:
        customer = self._sessions.customer(_token(request))
        found = customer and self.postgres.row("select * from users where id = %s", customer)
        if not found:
            raise HTTPException(401, "Not authenticated")
        return found

    def _limit(self, email: str) -> None:
        if defects.on("auth-limit"):
            before, now = self._last_login.get(email, 0.0), time.monotonic()
            self._last_login[email] = now
            if before and now - before < 60:
                raise HTTPException(429, "Too many requests")


def _token(request: Request) -> str:
    """The session's token, from the header or the cookie."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return str(token if scheme.lower() == "bearer" else request.cookies.get(COOKIE, ""))


def _shown(user: Row) -> Row:
    first, _, last = (user["full_name"] or "").partition(" ")
    status = "active" if user["is_active"] else "inactive"
    shown = {"id": str(user["id"]), "email": user["email"], "first_name": first, "last_name": last}
    return {**shown, "status": status}


def hashed(password: str, salt: bytes = b"") -> str:
    """A password as `users` holds it."""
    salt = salt or secrets.token_bytes(16)
    made = hashlib.scrypt(password.encode(), salt=salt, n=2**12, r=8, p=1, dklen=32)
    return f"$scrypt${salt.hex()}${made.hex()}"


def _fits(password: str, kept: str) -> bool:
    """True if it is this password; the hashes of other makers fit none."""
    if not kept.startswith("$scrypt$"):
        return False
    salt = bytes.fromhex(kept.split("$")[2])
    return hmac.compare_digest(hashed(password, salt), kept)


def _welcome(email: str, name: str) -> None:
    mail = {
        "to_emails": [email],
        "template_name": "template-1",
        "template_variables": {"name": name},
    }
    calls.call("POST", f"{settings.NOTIFICATION_URL}/api/v1/emails/send-template", mail)
