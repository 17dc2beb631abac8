"""Faults: ways to break one thing on purpose, each with what undoes it.

``fault`` and ``model`` define a fault as data, ``fault_lifecycle`` leads one from its arming to the
proof that it is gone, and ``undo_store`` keeps its undo where it runs. ``observers`` and
``reachability`` look at a machine from outside, ``pods`` reads pods. ``budget``, ``replicas`` and
``swarm_budget`` have the arithmetic of what may be broken, ``preflight`` asks it, and
``disruption_lock`` keeps two harnesses apart. ``kinds`` has the faults themselves.
"""
