"""Whether two PostgreSQL hold the same: rows, catalogue, sequences and indexes."""
