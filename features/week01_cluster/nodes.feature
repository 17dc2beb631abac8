@week1 @req:W1-NODES @severity:blocker
Feature: The nodes of the cluster
  Every machine that was bought for the migration works as a node of the new cluster,
  exactly as the inventory declares it, and nothing else does.

  Background:
    Given the cluster's node list

  Rule: The node list is the declared one

    Scenario: Every declared machine is a ready node
      Then every declared machine is a ready node

    Scenario: Every node is what the inventory says
      Then every node has its declared address, role and version

    Scenario: Nothing unexpected has joined
      Then no node is unexpected

  Rule: Every node is free to work

    Scenario: No node is short of memory, disk or processes
      Then no node is under pressure

    Scenario: Nothing undeclared keeps work away from a node
      Then no node has an undeclared taint
