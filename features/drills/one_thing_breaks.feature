@week9 @req:W9-DRILLS @severity:blocker
Feature: One thing breaks at a time
  Whatever single thing breaks, service is back in time and nothing that was saved is lost.
  While each drill runs, a ledger writes down every write before it is sent.

  Scenario Outline: The platform survives it
    When the drill <drill> is carried out
    Then every fault was seen by somebody else, and seen to be gone
    And no more broke than was meant to
    And others noticed it in time
    And the drill lost no acknowledged write
    And the drill left no write twice or from nowhere
    And writing went on in time
    And the steady state came back in time

    Examples: A machine
      | drill          |
      | lose-machine   |
      | stop-rke2      |
      | rolling-restart |
