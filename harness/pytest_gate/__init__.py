"""The pytest and pytest-bdd plugin: a run of the gate is a run of pytest."""
