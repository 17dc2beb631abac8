"""Data that must survive: manifests of trees, and their comparison."""
