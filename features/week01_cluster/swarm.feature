@week1 @req:W1-SWARM @severity:blocker
Feature: The old platform
  While the new platform is built beside it, Docker Swarm goes on serving every customer:
  all machines carry it, and nothing of it has stopped.

  Background:
    Given what Docker says on every machine

  Rule: The Swarm is whole

    Scenario: Every machine carries its part
      Then every Swarm node is ready

    Scenario: Every service has all of its tasks
      Then every Swarm service has its replicas

    Scenario: No update is paused or takes too long
      Then no Swarm update stands still

  Rule: Its services serve

    Scenario: Every service that customers need is there
      Then the declared Swarm services are there

    Scenario: Every service answers on every machine
      Then Swarm services answer

    @needs:swarm-instances
    Scenario: Every customer's instance that is to run answers
      Then customers' Swarm instances answer
