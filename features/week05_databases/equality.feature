@week5 @req:W5-EQUAL @severity:blocker
Feature: The databases are equal
  Nothing was lost, changed or added on the way from the old databases to the new ones: those of
  PostgreSQL, and MariaDB's with accounts and invoices.

  Scenario: Both sides hold the same
    Given every database of the old and the new platform
    Then every table holds the same rows
    And everything beside the rows is the same

  Scenario: The new databases can go on from there
    Given every database of the old and the new platform
    Then no sequence is behind
    And every index fits its table
