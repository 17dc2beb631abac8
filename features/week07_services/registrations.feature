@week7 @req:W7-SERVICES @severity:blocker
Feature: Side effects happen once
  A webhook that is registered twice makes two instances of one order, and one that is not registered
  makes none.

  @needs:registrations
  Scenario: Each side effect is registered once
    Given what services have registered elsewhere
    Then each side effect is registered exactly once
