@week3 @req:W3-BACKUPS @severity:blocker
Feature: One shared place for backups
  The last good copy of every customer lies in one known place.

  Background:
    Given the claims that hold backups, and what lies in the shared one

  Scenario: The shared claim is there, shared and large enough
    Then one shared claim holds the backups

  Scenario: No instance keeps backups of its own
    Then no instance has a backup claim of its own

  Scenario: Backups lie where the platform puts them
    Then backups lie as declared
