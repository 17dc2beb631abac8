"""Evidence of a red scenario, collected before anything is cleaned up.

Collecting is not probing: no check judges the evidence, and an error in it never changes a verdict.
Each piece, or the reason why it is missing, is a record of the journal, so it is signed with the
rest.
"""

from harness.evidence.collect import Piece, collect

__all__ = ["Piece", "collect"]
