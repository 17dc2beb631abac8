"""What runs on a machine: the one reader of disks, the rules of who may write, and the guard."""
