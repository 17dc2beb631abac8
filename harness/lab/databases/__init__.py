"""The platform's data from a seed: the same seed and number of rows give the same bytes.

``postgres`` and ``mariadb`` are scripts for psql and for mariadb's client, which make an empty
server the platform's; ``filestore`` holds the files that a customer's database names.
"""

from __future__ import annotations

from harness.lab.databases.mariadb import mariadb
from harness.lab.databases.odoo import filestore
from harness.lab.databases.postgres import postgres

__all__ = ["filestore", "mariadb", "postgres"]
