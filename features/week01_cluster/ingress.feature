@week1 @req:W1-INGRESS @severity:major
Feature: The ingress
  A web address leads to its own service and to no other, with a certificate that browsers accept.

  Background:
    Given a new site and the declared ones, visited from outside

  Scenario: A new site is routed to its service
    Then a host reaches its service

  Scenario: A site that nobody declared is not found
    Then an unknown host gets 404

  Scenario: Every declared site answers as the profile says
    Then every declared site answers

  Scenario: Every site shows a valid certificate
    Then TLS is valid
