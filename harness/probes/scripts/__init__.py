"""What probes send to a machine or into a pod: programs of the standard library of Python 3.8."""
