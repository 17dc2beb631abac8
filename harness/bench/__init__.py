"""How fast a disk commits: the guard before any raw write, fio's jobs, and Ceph's own bench."""
