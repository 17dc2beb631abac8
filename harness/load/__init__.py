"""Load: visitors who come at a steady rate, whatever became of the earlier ones.

``generator`` is a program of its own, with locust in it: gevent changes how a whole process waits
and talks, which must never happen to the harness. ``running`` starts and stops it; what it writes
(``histogram``) is kept by second, so that it can be cut afterwards at any moment (``results``).
"""
