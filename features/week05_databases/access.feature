@week5 @req:W5-ACCESS @severity:blocker @needs:database-roles
Feature: Roles of the databases
  A service that is broken, or broken into, reads and changes its own data and no other's.

  Scenario: Each role can do what it must, and no more
    Given what every role of the new databases may do
    Then both sides have the same roles
    And every role can do what it must
    And no role can do what it must not
