@week3 @req:W3-CEPH @severity:blocker
Feature: Ceph
  Every customer's data has three whole copies on three machines,
  and Ceph warns of nothing but what is declared.

  Background:
    Given what Ceph says of itself

  Scenario: Ceph says that it is well
    Then Ceph is healthy

  Scenario: The monitors decide together
    Then every Ceph monitor is in quorum

  Scenario: The monitors agree on the time
    Then the monitors' clocks agree

  Scenario: Each machine gives its disk
    Then every OSD is up and in

  Scenario: Each OSD answers when it is asked itself
    Then every OSD answers

  Scenario: All data is served and has all its copies
    Then every placement group is active and clean

  Scenario: One lost machine takes one copy with it
    Then the copies lie on different machines

  Scenario: Three copies are kept, and two are needed to write
    Then every pool keeps its copies

  Scenario: Copies stay apart whatever happens
    Then the failure domain is the host

  Scenario: What is stored is read and compared in time
    Then no scrub is overdue

  Scenario: Nobody waits for Ceph
    Then no operation in Ceph is slow

  Scenario: Every crash has been looked at
    Then no crash of Ceph is unread

  Scenario: No upgrade is half done
    Then every daemon of Ceph runs one version

  Scenario: Nothing is switched off
    Then no flag holds Ceph back
