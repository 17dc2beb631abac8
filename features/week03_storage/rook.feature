@week3 @req:W3-ROOK @severity:blocker
Feature: Rook
  Kubernetes can hand out storage on every machine:
  Rook runs, manages the Ceph that it was told to, and its drivers work everywhere.

  Background:
    Given Rook, its Ceph and its drivers

  Rule: Rook manages the declared Ceph

    Scenario: The operator is ready
      Then Rook's operator is ready

    Scenario: Rook is what was installed
      Then Rook is of its declared version

    Scenario: Ceph is connected or ready, as declared
      Then Rook's Ceph is as declared and well

    Scenario: The monitors are the declared ones
      Then Rook's monitors are the declared ones

    Scenario: Nothing of Rook crashes
      Then no pod of Rook crashes again and again

  Rule: Claims can be served on every machine

    Scenario: The storage class is as declared
      Then Rook's storage class is as declared

    Scenario: The CSI drivers are those that the profile declares
      Then the CSI drivers are the declared ones

    @needs:rook-csi
    Scenario: The CSI drivers are on every machine
      Then the CSI drivers are on every machine

    @needs:rook-csi
    Scenario: The CSI controllers work, and one leads
      Then the CSI controllers have a leader

  @needs:rook-cluster
  Rule: Rook's own Ceph survives the loss of a machine

    Scenario: Every pool keeps three copies on three machines
      Then every pool of Rook keeps three copies

    Scenario: Every machine runs its OSD on the declared device
      Then every machine runs its OSD in Rook
