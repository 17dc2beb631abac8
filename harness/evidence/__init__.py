"""Evidence of a red scenario, collected before anything is cleaned up.

Collecting is no probe: nothing of it is judged, and an error in it never changes a verdict. Each
piece, or why it could not be had, is a record of the journal, so that it is signed with the rest.
"""

from harness.evidence.collect import Piece, collect

__all__ = ["Piece", "collect"]
