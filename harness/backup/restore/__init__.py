"""A customer's backup: inspected, restored elsewhere, and compared with what it was made of."""
