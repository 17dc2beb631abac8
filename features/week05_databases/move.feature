@week5 @req:W5-DURABLE @severity:blocker
Feature: The databases move, and nothing saved is lost
  Writers go on while a database of their own moves from the old PostgreSQL to the new one, and back:
  the way back is the same way. And a dump of a database is restored there: nothing is missing. Customers'
  databases are read at most.

  @needs:postgres @needs:switch
  Scenario Outline: Writers follow a database there and back
    When the move <drill> is rehearsed
    Then the databases moved there and back
    And writers were stopped only briefly
    And the switch lost no acknowledged write
    And the switch left no write twice or from nowhere
    And the bank kept its total through the switch
    And the rehearsal leaves nothing behind

    Examples: By logical replication
      | drill  |
      | switch |

  @needs:dump
  Scenario Outline: A database is dumped and restored
    When the move <drill> is rehearsed
    Then the dump was restored
    And every restored table holds the dumped rows
    And everything beside the rows was restored
    And no restored sequence is behind
    And every restored index fits its table
    And the dump leaves nothing behind

    Examples: By a dump
      | drill |
      | dump  |
