"""The storage that exists before the migration: a small tree on CephFS, which must not change."""

from __future__ import annotations

from pathlib import Path

from harness.lab.machines import enter
from harness.lab.shape import Lab

# Runs on one machine; existing files stay as they are, with their times.
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


for name in ("acme_1a2b3c4d", "globex_5e6f7a8b", "initech_9c0d1e2f"):
    customer, home = name.partition("_")[0], f"odoo_instances/odoo_data_{name}"
    plant(f"{home}/odoo.conf", f"[options]\\ndb_name = {customer}\\n".encode(), 0o600)
    for size in (700, 9_000, 300_000):
        file = f"{drawn.getrandbits(160):040x}"
        plant(f"{home}/filestore/{file[:2]}/{file}", drawn.randbytes(size))
    os.setxattr(f"{home}/odoo.conf", "user.customer", customer.encode())
    if not os.path.lexists(f"{home}/current"):
        os.symlink("filestore", f"{home}/current")
    plant(f"{home}/web/index.html", f"<p>Odoo of {customer}</p>\\n".encode())
# The old platform goes on writing here.
os.makedirs("odoo_backups/staging", exist_ok=True)
"""


def plant(lab: Lab, log: Path) -> None:
    """Write the tree to CephFS, which must be mounted; may be repeated."""
    enter(lab, lab.nodes[0], ["python3", "-I", "-"], stdin=TREE, log=log)
