"""Moves the platform over, and back: the traffic step by step, and the databases.

Traffic: ``front`` sets and reads the share, ``way_back`` keeps the way back armed on the front's
machine. ``client`` sends requests as customers do, and ``answers`` are what came of them: those of
``sampling``, of logged-in ``visitors`` (each with a ``session``) and of ``writes``. ``share`` says
whether answers show a share, ``evidence`` and ``watch`` wait for them. ``no_return`` looks at what
the way back needs, and ``shift`` takes the steps.

Databases: ``side`` is one PostgreSQL and how it is frozen, ``stream`` carries its changes to the
other, ``queues`` waits until tasks are done, ``direction`` has the steps of a switch, ``walk``
takes them or turns back, and ``rehearsal`` does all of it with a database of its own.
"""
