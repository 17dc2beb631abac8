@week7 @req:W7-PARITY @severity:blocker
Feature: The new platform answers as the old one
  The same requests go to both platforms. The old one is asked twice: how its own two answers differ is
  noise, which a rule of the profile has to name.

  Scenario: Requests that read have the same answers
    Given the answers of both platforms to the same requests
    Then both platforms give the same answers
