@week1 @req:W1-HOST @severity:blocker
Feature: The machines under the cluster
  Each machine keeps time, has room, is set up as Kubernetes needs it,
  and would come back from a reboot by itself.

  Background:
    Given what every machine says about itself

  Rule: The machines keep one time

    Scenario: Every clock follows its source
      Then every clock follows its source

    Scenario: The clocks agree with each other
      Then all clocks agree

  Rule: The machines have room

    Scenario: Every disk has room
      Then every disk has room

    Scenario: Every machine has memory available
      Then every machine has memory available

  Rule: The machines are set up as Kubernetes needs them

    Scenario: Swap is off, and stays off after a reboot
      Then swap is off and stays off

    Scenario: Kernel parameters are as declared
      Then kernel parameters are as declared

    Scenario: Full-sized packets pass between all machines
      Then full-sized packets pass between machines

  Rule: The machines come back by themselves

    Scenario: The RKE2 service runs, and starts at boot
      Then the node service runs and starts at boot

    Scenario: Every machine is safe to reboot
      Then every machine is safe to reboot
