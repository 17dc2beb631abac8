@week7 @req:W7-RBAC @severity:blocker
Feature: Service accounts
  A service asks the cluster for what it needs, and is refused everything else.

  Background:
    Given what every service account may do

  Scenario: Every service can do its work
    Then each service account may do what it needs

  Scenario: No service can take over the cluster
    Then no service account may do what it must not
