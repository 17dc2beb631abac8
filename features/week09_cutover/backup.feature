@week9 @req:W9-BACKUP @severity:blocker
Feature: A customer's round trip
  A customer's database and files are of one moment in a backup, and come back equal under another
  name. A damaged backup would be noticed.

  Scenario: Database and files come back together
    When the backup of a customer is restored elsewhere
    Then a whole backup of the customer is made
    And the restored database is the customer's
    And the restored files are the customer's
    And every restored row finds its file
    And the restore leaves nothing behind

  Scenario: A damaged backup is noticed
    When the backup of a customer is restored elsewhere
    Then the inspection notices every known defect

  @needs:velero
  Scenario: The cluster itself is backed up
    Given the cluster's own backups
    Then every declared schedule of the cluster's backups runs
    And the newest backup of each schedule is whole and young
    And the declared claims are in it, with their data
