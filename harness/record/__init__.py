"""What a run keeps: journal, redaction, signature, bundle, and the history of earlier runs."""
