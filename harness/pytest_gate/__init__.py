"""What pytest and pytest-bdd must know: a run of the gate is a run of pytest."""
