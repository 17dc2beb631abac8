@week9 @req:W9-SHIFT @severity:blocker
Feature: The traffic moves over
  The new platform gets a share of the requests, then a larger one. Each share is measured by who
  answers, and judged before the next; visitors who are logged in stay so.

  Scenario: Each step is good before the next is taken
    When the traffic is moved to the new platform step by step
    Then every step has the share that was set
    And the new platform answers as well as the old one at every step
    And no one is logged out on the way
    And the move loses no acknowledged write
    And the move makes no write twice
