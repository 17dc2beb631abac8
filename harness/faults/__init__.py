"""Faults: ways to break one thing on purpose, each with its undo.

``fault`` and ``model`` define a fault as data, ``fault_lifecycle`` takes one from its arming to the
proof that it is gone, and ``undo_store`` stores its undo where it runs. ``observers`` and
``reachability`` observe a machine from outside, ``pods`` reads pods. ``budget``, ``replicas`` and
``swarm_budget`` calculate what may be broken, ``preflight`` checks it, and ``disruption_lock``
lets one harness at a time inject faults. ``kinds`` has the faults themselves.
"""
