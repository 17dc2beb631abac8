@week5 @req:W5-POSTGRES @severity:blocker
Feature: PostgreSQL
  A customer's saved work is on more than one machine before it is confirmed.

  Scenario: A commit waits for a second copy
    Given the settings of every PostgreSQL
    Then no write is acknowledged by the primary alone
