"""Faults: ways to break one thing on purpose, each with its undo.

``fault`` and ``model`` define a fault as data, ``fault_lifecycle`` takes one from its arming to the
proof that it is gone, and ``undo_store`` stores its undo where it runs. ``commands`` runs commands
on machines, ``observers`` observes a machine from outside, ``pods`` and ``ceph`` read theirs.
``budget`` calculates what may be broken, from the ``cluster_state``; ``preflight`` checks it, and
``disruption_lock`` lets one harness at a time inject faults. ``kinds`` has the faults themselves.
"""
