@week7 @req:W7-PARITY @severity:blocker
Feature: The new platform answers as the old one
  The same requests go to both platforms. The old one is asked twice: how its own two answers differ is
  noise, which a rule of the profile has to name.

  Scenario: Requests that read have the same answers
    Given the answers of both platforms to the same requests
    Then both platforms give the same answers

  Scenario: Requests that write have the same answers
    When the requests that write are sent to both platforms
    Then both platforms give the same answers to writes
    And what the requests made is removed again
