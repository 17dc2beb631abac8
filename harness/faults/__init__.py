"""Faults: ways to break one thing on purpose, each with what takes it back.

``model`` and ``fault`` say what one is, ``life`` leads it from its arming to the proof that it is
gone, ``keeper`` keeps its undo where it is needed, ``seen`` and ``line`` are how others see a
machine, ``budget`` and ``replicas`` say what may be broken, ``permit`` and ``lease`` by whom.
``kinds`` has the faults themselves.
"""
