@week1 @req:W1-LB @severity:major
Feature: The load balancer
  A service that asks for an outside address gets one and answers on it.

  Background:
    Given a service that asks for an outside address

  Scenario: The service is given an address of the pool
    Then a service is given an address of the pool

  Scenario: The service answers from outside
    Then the service answers at its address

  Scenario: There is an address for the next service
    Then the load balancer's pool has addresses left
