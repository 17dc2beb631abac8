"""Measures how fast a disk commits: the guard before raw writes, fio's jobs, Ceph's own bench."""
