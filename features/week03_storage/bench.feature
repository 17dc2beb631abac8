@week3 @req:W3-BENCH @severity:blocker
Feature: How fast the disks commit
  A database waits for every commit until the slowest copy is on its disk. All machines are measured
  at the same time, as they work together afterwards.

  Background:
    Given the disk for Ceph on every machine, measured at the same time

  Scenario: The slowest disk is fast enough
    Then each disk commits fast enough

  Scenario: No disk has become slow
    Then each disk is as fast as its baseline
