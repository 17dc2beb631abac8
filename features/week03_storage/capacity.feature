@week3 @req:W3-CAPACITY @severity:blocker
Feature: Capacity
  There is room for every customer, and still when one machine is lost.

  Background:
    Given what Ceph says of itself

  Scenario: The usable capacity is what was planned
    Then the usable capacity is large enough

  Scenario: The move brings room
    Then there is more room than before

  Scenario: A lost machine does not fill the others
    Then losing one machine leaves room
