"""Whether two MariaDB hold the same: rows, catalogue, counters and indexes."""
