@week7 @req:W7-CALLS @severity:blocker
Feature: Services find each other
  A service calls another under the name and port that it had under the Swarm,
  or under the new ones that the profile declares.

  Scenario: Every service has its name and port
    Given every service that others call
    Then each service has its declared name and port

  Scenario: Every service reaches the others, and its database
    Given the calls of every service from its own pods
    Then each service reaches what it calls from its own pods
    And each service reads its database
