"""Prepares machines for the gates: the needs of probes, and the partition for Ceph's OSD.

``nodes`` plans and installs with Ansible what ``scenarios/provision/nodes.yaml`` lists. For the
disk, ``disk_script`` reads and acts on the machine, ``partition`` decides, ``records`` stores each
machine's recorded disk, and ``apply`` acts on all machines or on none.
"""
