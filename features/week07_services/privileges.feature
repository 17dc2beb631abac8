@week7 @req:W7-NODOCKER @severity:blocker
Feature: Pods keep to themselves
  A pod that reaches Docker, or its machine, can do what it wants with every other pod there.

  Background:
    Given every workload of the cluster

  Scenario: Docker is out of reach
    Then no pod has the Docker socket

  Scenario: Machines are out of reach
    Then no pod has more of its machine than is declared
