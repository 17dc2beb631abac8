@week7 @req:W7-SERVICES @severity:blocker
Feature: Every service runs as it must
  A service has all its replicas, on more than one machine where it has several, and nothing that one
  service does takes a machine away from the others.

  Background:
    Given every workload of the cluster

  @needs:services
  Scenario: Every service is up
    Then every service is up and spread over the machines

  @needs:services
  Scenario: Every container is within limits
    Then every container has requests, limits and checks

  @needs:services
  Scenario: Every image is the one that was tested, and stays
    Then every image is named by its digest

  @needs:services
  Scenario: A machine can be drained
    Then a machine can be drained without stopping a service
