"""The scripts for machines: the reader of disks, the rules for writing, and the guard."""
