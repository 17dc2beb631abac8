"""The ledger: every write of a run, and whether every acknowledged write survives."""
