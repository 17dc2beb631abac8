@week9 @req:W9-ROLLBACK @severity:blocker
Feature: The traffic comes back
  The share is brought back from every step, and measured until it is there. Nothing that cannot be
  undone happens before an operator agreed to it.

  Scenario: The way back leads from every step
    When the traffic is moved to the new platform step by step
    Then the share comes back in time from every step
    And what the way back needs is there
    And the point of no return is not passed unasked
    And the move loses no acknowledged write
    And the move makes no write twice
