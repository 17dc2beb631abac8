@week3 @req:W3-PVC @severity:blocker
Feature: Shared volumes
  A program that asks for storage has it within a minute, on every machine at once,
  and what it keeps there stays as it was.

  Background:
    Given claims that every machine writes and reads

  Scenario: Storage is handed out as it was declared
    Then the storage class is as declared

  Scenario: Twenty claims are ready in time
    Then claims are bound in time

  Scenario: Every machine reads what another wrote
    Then what one machine writes every other reads unchanged

  Scenario: Owners, rights and names are kept
    Then metadata survives

  Scenario: Programs that share a file do not overwrite each other
    Then appenders with locks lose nothing

  Scenario: A thousand small files are kept
    Then many small files are whole

  Scenario: A customer's volume holds no more than was paid for
    Then a full claim gives EDQUOT

  Scenario: A volume grows without a stop
    Then a claim grows while it is in use

  Scenario: A volume that is deleted leaves nothing behind
    Then a deleted claim gives its space back
