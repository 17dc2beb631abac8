"""What probes report and checks read: one schema a subject, and the pure readers both share."""
