"""Load: requests at planned times, independent of the results of earlier requests.

``generator`` is a separate program, because it uses locust: gevent patches a whole process's
sockets and waits, which must never happen to the harness. ``running`` starts and stops it. Its
output is stored by second, so that ``results`` can cut it afterwards at any second. ``visitor``
sends the requests, ``arrivals`` counts them, and ``distributed`` shares them among computers.
"""
