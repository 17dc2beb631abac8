@week9 @req:W9-LOAD @severity:blocker
Feature: The platform holds the load
  Visitors come at the planned rate, whether earlier ones were served or not: a stall is in the times of
  all who waited for it.

  Scenario: Visitors are answered in time at the busiest hour
    When each load is offered to the ingress
    Then every load was offered as planned
    And requests are answered under load
    And requests are answered in time under load

  Scenario: The new platform is no slower than the old one
    When each load is offered to both platforms in turn
    Then the new platform is no slower under the same load
