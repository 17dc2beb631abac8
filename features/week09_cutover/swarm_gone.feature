@week9 @req:W9-SWARM-GONE @severity:major
Feature: Nothing of the old platform is left
  The registry of the old platform runs in its Swarm: an image from there cannot be pulled any more.

  Scenario: No machine is a part of the old platform
    Given what is left of the old platform on every machine
    Then no machine is in a Swarm
    And no port of Docker listens

  Scenario: No name leads to the old platform
    Given where the names of the old platform lead
    And where Services without pods lead
    Then no name of the old platform leads to it
    And no Service leads to the old platform

  Scenario: No pod needs an image from the old platform
    Given what every pod needs and every node has
    Then no image comes from a registry of the Swarm
