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

  Scenario: Work that waits, and who is signed in, came along
    Given the queues and sessions of the old and the new platform
    Then every queue is moved, or declared lost
    And every session is moved, or declared lost
