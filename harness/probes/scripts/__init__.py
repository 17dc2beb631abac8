"""Scripts that probes send to a machine or into a pod: Python 3.8, standard library only."""
