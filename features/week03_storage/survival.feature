@week3 @req:W3-PVC @severity:blocker
Feature: Shared volumes while a disk is lost
  A disk's service stops and starts again while every machine writes,
  and afterwards every block is there as it was written last.

  Scenario Outline: What is written while it breaks is not lost
    When the drill <drill> is carried out
    Then every fault was seen by somebody else, and seen to be gone
    And what machines wrote to claims meanwhile is unchanged

    Examples: A disk
      | drill    |
      | lose-osd |
