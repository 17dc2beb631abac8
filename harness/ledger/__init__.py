"""The ledger: every write of a run, and whether what was acknowledged is there afterwards."""
