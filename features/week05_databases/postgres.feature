@week5 @req:W5-POSTGRES @severity:blocker
Feature: PostgreSQL
  The platform's databases run on volumes of their own and answer by name, and a customer's saved work
  is on more than one machine before it is confirmed.

  Scenario: A commit waits for a second copy
    Given every PostgreSQL of the platform
    Then no write is acknowledged by the primary alone

  Scenario: Every database is there for the services
    Given every PostgreSQL of the platform
    Then PostgreSQL is ready on claims of its own
    And PostgreSQL has its declared settings and limits
    And each database answers from a pod by its name
