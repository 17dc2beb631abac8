@week1 @req:W1-EXPOSED @severity:blocker
Feature: What answers from outside
  Nothing answers a stranger but what is declared, by TCP or UDP, over IPv4 or IPv6:
  no etcd, no kubelet, no database.

  Scenario: Only declared ports answer
    Given every port of every machine, tried from outside
    Then only declared ports answer
