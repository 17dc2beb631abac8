@week5 @week9 @req:W5-DURABLE @req:W9-DRILLS @severity:blocker @needs:postgres
Feature: Saved work stays saved
  While PostgreSQL itself is broken, money is moved between accounts of its own, and each transfer is
  written down before it is sent.

  Scenario Outline: The platform's PostgreSQL survives it
    When the drill <drill> is carried out
    Then every fault was seen by somebody else, and seen to be gone
    And the drill lost no acknowledged write
    And the drill left no write twice or from nowhere
    And the bank kept its total through the drill
    And writing went on in time
    And the steady state came back in time

    Examples: PostgreSQL itself
      | drill        |
      | kill-primary |

    Examples: Its machine, and the disk under it
      | drill                   |
      | lose-primary-machine    |
      | cut-off-primary-machine |
      | lose-primary-osd        |

    Examples: The room on its disk
      | drill               |
      | fill-primary-volume |
