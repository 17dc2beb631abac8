@week1 @req:W1-ETCD @severity:blocker
Feature: etcd, the cluster's memory
  The cluster survives the loss of any one machine only while etcd has three members
  that agree, have room, and sit on disks fast enough to keep up.

  Rule: The members agree

    Background:
      Given what every machine says about itself

    Scenario: etcd has three members and one leader
      Then etcd has every member and one leader

    Scenario: etcd raises no alarm
      Then etcd raises no alarm

  Rule: The members keep up

    Scenario: etcd's database has room to grow
      Given what every machine says about itself
      Then etcd's database has room

    Scenario: The disks under etcd are fast enough
      Given a burst of small writes to etcd
      Then etcd writes its log fast enough

    Scenario: The network between etcd's members is fast enough
      Given what every machine says about itself
      Then etcd's members are near enough to each other
