"""Drills: steady state → load and ledger → faults → heal → steady state again."""
