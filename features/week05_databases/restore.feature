@week5 @req:W5-RESTORE @severity:blocker
Feature: A backup comes back
  What the platform calls a backup is restored on another machine, in time and with nothing missing.

  Scenario: A backup restored elsewhere is equal
    When the backup of a customer is restored elsewhere
    Then a whole backup of the customer is made
    And the restored database is the customer's
    And the restored files are the customer's
    And every restored row finds its file

  Scenario: Service is back in time, and little is lost
    When the backup of a customer is restored elsewhere
    Then the restored customer is served in time
    And little enough work is lost
