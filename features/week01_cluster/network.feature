@week1 @req:W1-NETWORK @severity:blocker
Feature: The network between pods
  Services find and reach each other whichever machines they run on,
  and a policy that forbids a connection really stops it.

  Rule: Pods reach each other on every pair of machines

    Background:
      Given pods on every node that talk to each other

    Scenario: Every pod reaches every other pod
      Then pods reach pods on every ordered pair of nodes

    Scenario: Full-sized packets arrive whole
      Then full-sized packets pass between pods

    Scenario: Pods reach services
      Then pods reach services

    Scenario: Names resolve, short and full
      Then names resolve in pods

  Rule: A forbidden connection is stopped

    @needs:network-policy
    Scenario: A network policy that denies really denies
      Given a service that a network policy closes to strangers
      Then a network policy that denies really denies

  Rule: The network plugin is healthy

    @needs:cilium
    Scenario: Cilium is healthy on every node
      Given what Cilium says on every node
      Then Cilium is healthy on every node
