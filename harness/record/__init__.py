"""The records of a run: journal, redaction, signature, bundle, and the history of earlier runs."""
