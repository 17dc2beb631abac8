"""What must survive: manifests of trees, and their comparison."""
