"""What probes report and checks read: one schema for each subject, and shared pure readers."""
