"""What a part of the platform is told by its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PORTS = {
    "user": 8001,
    "instance": 8003,
    "billing": 8004,
    "database": 8005,
    "notification": 5000,
    "frontend": 3000,
    "odoo": 8069,
}
# The role under which a part reads its database.
ROLES = {
    "user": ("auth_service", "auth"),
    "instance": ("instance_service", "instance"),
    "billing": ("billing_service", "billing"),
    "database": ("database_service", "instance"),
    "notification": ("database_service", "communication"),
}


def _secret(name: str, default: str = "") -> str:
    """The variable NAME, or the content of the file that NAME_FILE names."""
    path = os.environ.get(f"{name}_FILE")
    return Path(path).read_text(encoding="utf-8").strip() if path else _env(name, default)


def _env(name: str, default: str) -> str:
    return os.environ.get(name, default)


@dataclass(frozen=True)
class Database:
    """A database of PostgreSQL and the role that uses it."""

    host: str
    port: int
    name: str
    user: str
    password: str


PART = _env("PART", "user")
# Loopback unless told otherwise: an image says 0.0.0.0.
HOST = _env("HOST", "127.0.0.1")
PORT = int(_env("PORT", str(PORTS.get(PART, 8000))))
DOMAIN = _env("DOMAIN", "lab.example")
# Longer than Traefik keeps an idle connection: the one that it uses again is not shut.
KEEP_ALIVE_S = 120

# A host that begins with a slash is a socket file, of PostgreSQL the folder with it.
POSTGRES_HOST = _env("POSTGRES_HOST", "postgres")
POSTGRES_PORT = int(_env("POSTGRES_PORT", "5432"))
REDIS_HOST, REDIS_PORT = _env("REDIS_HOST", "redis"), int(_env("REDIS_PORT", "6379"))
KILLBILL_HOST = _env("KILLBILL_DB_HOST", "killbill-db")
KILLBILL_PORT = int(_env("KILLBILL_DB_PORT", "3306"))
KILLBILL_USER = _env("KILLBILL_DB_USER", "killbill")
KILLBILL_PASSWORD = _secret("KILLBILL_DB_PASSWORD", "killbill of the lab")

# How the other parts are called: the platform's own names, unless a variable says otherwise.
USER_URL = _env("USER_SERVICE_URL", "http://user-service:8001")
INSTANCE_URL = _env("INSTANCE_SERVICE_URL", "http://instance-service:8003")
BILLING_URL = _env("BILLING_SERVICE_URL", "http://billing-service:8004")
DATABASE_URL = _env("DATABASE_SERVICE_URL", "http://database-service:8005")
NOTIFICATION_URL = _env("NOTIFICATION_SERVICE_URL", "http://notification-service:5000")
WEBHOOK_URL = _env("KILLBILL_NOTIFICATION_URL", f"{BILLING_URL}/api/billing/webhooks/killbill")

# What makes instances: swarm, kubernetes, or process for programs of this computer.
ORCHESTRATOR = _env("ORCHESTRATOR", "process")
NAMESPACE = _env("NAMESPACE", "saasodoo")
NETWORK = _env("NETWORK", "saasodoo-network")
IMAGE = _env("IMAGE", "lab/platform:1")
STORAGE_CLASS = _env("STORAGE_CLASS", "cephfs")
INGRESS_CLASS = _env("INGRESS_CLASS", "traefik")
BACKUPS_CLAIM = _env("BACKUPS_CLAIM", "odoo-backups-pvc")
# Customers' folders and backups, where this part sees them itself.
INSTANCES = Path(_env("INSTANCES_FOLDER", "/mnt/cephfs/odoo_instances"))
BACKUPS = Path(_env("BACKUPS_FOLDER", "/mnt/cephfs/odoo_backups"))


def database() -> Database:
    """The database of this part, as its own role."""
    role, name = ROLES[PART]
    password = _secret("DB_SERVICE_PASSWORD", f"{role} of the lab")
    return Database(POSTGRES_HOST, POSTGRES_PORT, name, _env("DB_SERVICE_USER", role), password)


def superuser(name: str = "postgres", host: str = "", port: int = 0) -> Database:
    """A database as PostgreSQL's superuser, who makes and drops customers' databases."""
    user, password = _env("POSTGRES_ADMIN_USER", "postgres"), _secret("POSTGRES_ADMIN_PASSWORD")
    return Database(host or POSTGRES_HOST, port or POSTGRES_PORT, name, user, password)
