@week9 @req:W9-JOURNEY @severity:blocker
Feature: A customer's way
  A new customer goes the whole way through the ingress, as customers do.

  Scenario: A customer goes the whole way
    When a new customer walks the journey customer
    Then every step of the journey is done
    And the instance is there in time

  Scenario: A customer who leaves is gone
    When a new customer walks the journey customer
    Then the deletion leaves nothing behind
    And the customer is removed again

  @needs:browser-journey
  Scenario: A customer goes it on the frontend's pages, in a browser
    When a new customer walks the journey browser
    Then every step of the journey is done
    And the pages report no error
    And what it made is as it was asked for
    And the deletion leaves nothing behind
    And the customer is removed again
