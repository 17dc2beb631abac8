@week3 @req:W3-BACKUPS @severity:blocker
Feature: One shared place for backups
  Whoever needs a customer's last good copy finds it where all the others are.

  Background:
    Given the claims that hold backups, and what lies in the shared one

  Scenario: The shared claim is there, shared and large enough
    Then one shared claim holds the backups

  Scenario: No instance keeps backups of its own
    Then no instance has a backup claim of its own

  Scenario: Backups lie where the platform puts them
    Then backups lie as declared
