@week3 @req:W3-LEGACY @severity:blocker
Feature: The storage that exists already
  The old platform depends on it until cutover:
  it is there on every machine, and the work has changed nothing in it.

  Scenario: It is mounted and readable on every machine
    Given the existing storage, read on every machine
    Then the existing storage is mounted and readable everywhere

  Scenario: Nothing in it has changed since before the work
    Given the existing storage, compared with its baseline
    Then the existing storage is unchanged
