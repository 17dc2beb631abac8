@week1 @req:W1-SNAPSHOT @severity:blocker
Feature: Snapshots of the cluster's memory
  After a disaster the cluster can be had back as it was:
  a snapshot is young, lies elsewhere too, and has been restored.

  Background:
    Given the snapshots of etcd on every server

  Scenario: The newest snapshot is young enough
    Then an etcd snapshot is fresh

  Scenario: A copy survives the machine that took the snapshot
    Then a copy of the newest snapshot is off its machine

  Scenario: The newest snapshot restores into a scratch etcd
    Then the newest snapshot restores
