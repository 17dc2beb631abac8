"""Decide, week by week, whether a migration to RKE2 with Rook-Ceph may go on."""

__version__ = "0.1.0"
