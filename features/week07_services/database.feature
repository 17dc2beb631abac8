@week7 @req:W7-DATABASE @severity:blocker
Feature: A database server of one's own
  A customer gets a database server on its own volume, an instance moves onto it, and works there.

  Scenario: An instance moves onto a new database server
    When a new customer walks the journey database
    Then every step of the journey is done
    And what it made is as it was asked for
    And the customer is removed again
