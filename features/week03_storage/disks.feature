@week3 @req:W3-DISK @severity:blocker
Feature: The disk that Ceph is given
  Before Ceph the partition is raw and unused; afterwards only its OSD uses it. It is the one that
  was recorded, and the work on it has touched no other partition.

  Background:
    Given the disk for Ceph on every machine

  Scenario: The disk is the recorded one
    Then every disk for Ceph is the recorded one

  Scenario: The system and boot partitions are untouched
    Then no other partition has changed

  Scenario: Nobody but the declared OSD uses it
    Then each disk is used by its OSD alone
