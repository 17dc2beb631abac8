@week9 @req:W9-SOAK @severity:blocker
Feature: Hours of work with random failures
  One thing after the other breaks for hours, drawn from a seed, each time from the steady state.
  Nothing that was saved is lost, nothing leaks, and nothing becomes slower.

  Scenario: The platform does not wear out
    When the platform is soaked
    Then the soak lasted as long as it should
    And every fault of the soak came and went
    And the soak lost no acknowledged write
    And the soak left no write twice or from nowhere
    And the bank kept its total through the soak
    And nothing leaked
    And answers did not become slower
