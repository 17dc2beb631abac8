@week7 @req:W7-SERVICES @severity:blocker
Feature: Room for every service
  When a machine is lost, Kubernetes places its pods on the others: they must have the memory that
  these pods request.

  Scenario: The pods of any machine fit on those that are left
    Given what every pod needs and every node has
    Then the pods of a lost machine fit on the others
