@week9 @req:W9-DRILLS @severity:blocker
Feature: One thing breaks at a time
  One thing breaks at a time: service is back in time, and no saved record is lost.
  While each drill runs, a ledger writes down every write before it is sent, and visitors come at a
  steady rate, whether the earlier ones were served or not.

  Scenario Outline: The platform survives it
    When the drill <drill> is carried out
    Then every fault was seen by somebody else, and seen to be gone
    And no more broke than was meant to
    And what was not hit went on
    And others noticed it in time
    And the drill lost no acknowledged write
    And the drill left no write twice or from nowhere
    And the bank kept its total through the drill
    And writing went on in time
    And no more requests failed than may
    And requests were answered in time again
    And the steady state came back in time

    Examples: A machine
      | drill           |
      | lose-machine    |
      | lose-manager    |
      | rolling-restart |
      | stop-rke2       |

    Examples: The network
      | drill           |
      | cut-off-machine |
      | cut-one-way     |
      | lose-packets    |
      | break-dns       |

    Examples: Storage
      | drill        |
      | lose-osd     |
      | lose-monitor |
      | slow-disk    |
      | fill-disk    |

    Examples: The control plane
      | drill            |
      | lose-etcd-member |
      | kill-apiserver   |

    Examples: What everything needs
      | drill          |
      | exhaust-memory |
      | exhaust-cpu    |

    Examples: What serves and stores
      | drill                 |
      | kill-pods             |
      | kill-postgres-primary |

  @needs:ingress
  Scenario Outline: The way in survives it
    When the drill <drill> is carried out
    Then every fault was seen by somebody else, and seen to be gone
    And no more broke than was meant to
    And what was not hit went on
    And others noticed it in time
    And the drill lost no acknowledged write
    And the drill left no write twice or from nowhere
    And the bank kept its total through the drill
    And writing went on in time
    And no more requests failed than may
    And requests were answered in time again
    And the steady state came back in time

    Examples: The way in
      | drill        |
      | lose-ingress |

  @needs:own-clock
  Scenario Outline: A wrong clock is survived
    When the drill <drill> is carried out
    Then every fault was seen by somebody else, and seen to be gone
    And no more broke than was meant to
    And what was not hit went on
    And others noticed it in time
    And the drill lost no acknowledged write
    And the drill left no write twice or from nowhere
    And the bank kept its total through the drill
    And writing went on in time
    And no more requests failed than may
    And requests were answered in time again
    And the steady state came back in time

    Examples: The clock
      | drill      |
      | skew-clock |
