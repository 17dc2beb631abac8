@week7 @req:W7-INSTANCE @severity:blocker
Feature: A customer's instance
  A new customer's instance is created, used, backed up, restored, stopped, started and deleted, through
  the ingress. The cluster itself shows what that made, and that nothing of it stays.

  Scenario: An instance lives its whole life
    When a new customer walks the journey instance
    Then every step of the journey is done
    And the instance is there in time
    And what it made is as it was asked for

  Scenario: A deleted instance leaves nothing behind
    When a new customer walks the journey instance
    Then the deletion leaves nothing behind
    And the customer is removed again
