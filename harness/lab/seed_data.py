"""The data that exists before the migration: of the databases, and a small tree on CephFS.

The tree must not change.
"""

from __future__ import annotations

from pathlib import Path

from harness.lab import databases
from harness.lab.machines import enter
from harness.lab.shape import Lab

SEED, ROWS = 86, 60
# Roles whose passwords the harness has too, each in a file postgres-ROLE beside its keys.
ROLES = ("auth_service", "billing_service", "database_service", "readonly_user")
# Each with a database, odoo_NAME, and a folder, odoo_data_NAME.
CUSTOMERS = ("acme_1a2b3c4d", "globex_5e6f7a8b", "initech_9c0d1e2f")
# Runs on one machine, after FILES (each customer's filestore by name); existing files stay as they
# are, with their times.
TREE = """
import os
import random

os.umask(0o022)
os.chdir("/mnt/cephfs")
drawn = random.Random(86)


def plant(path, content, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        with open(f"{path}.new", "wb") as file:
            file.write(content)
        os.chmod(f"{path}.new", mode)
        os.rename(f"{path}.new", path)


for name, files in FILES.items():
    customer, home = name.partition("_")[0], f"odoo_instances/odoo_data_{name}"
    plant(f"{home}/odoo.conf", f"[options]\\ndb_name = odoo_{name}\\n".encode(), 0o600)
    for file, content in files.items():
        plant(f"{home}/filestore/odoo_{name}/{file}", content)
    plant(f"{home}/addons/theme.zip", drawn.randbytes(300_000))
    os.setxattr(f"{home}/odoo.conf", "user.customer", customer.encode())
    if not os.path.lexists(f"{home}/current"):
        os.symlink("filestore", f"{home}/current")
    plant(f"{home}/web/index.html", f"<p>Odoo of {customer}</p>\\n".encode())
# The old platform goes on writing here.
for folder in ("active", "staging", "temp"):
    os.makedirs(f"odoo_backups/{folder}", exist_ok=True)
"""


def postgres() -> str:
    """The script that fills the old platform's PostgreSQL."""
    return "".join(databases.postgres(SEED, ROWS, CUSTOMERS))


def mariadb() -> str:
    """The script that fills the old platform's MariaDB."""
    return "".join(databases.mariadb(SEED, ROWS))


def tree() -> str:
    """The program that writes the tree to CephFS, which must be mounted; it may be repeated."""
    files = {name: dict(databases.filestore(SEED, name, ROWS)) for name in CUSTOMERS}
    return f"FILES = {files!r}\n{TREE}"


def plant(lab: Lab, log: Path) -> None:
    """Write the tree, and the passwords of the roles in the script of PostgreSQL."""
    for role in ROLES:
        path = lab.access / f"postgres-{role}"
        path.touch(mode=0o600)
        path.write_text(f"{role} of the lab\n", encoding="utf-8")
    enter(lab, lab.nodes[0], ["python3", "-I", "-"], stdin=tree(), log=log)
