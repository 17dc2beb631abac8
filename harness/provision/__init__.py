"""Make machines ready for the gates: what probes need, and the partition for Ceph's OSD.

``nodes`` plans and brings with Ansible what ``scenarios/provision/nodes.yaml`` lists. For the disk,
``disk_script`` tells and acts on the machine, ``partition`` decides, ``records`` remembers which
disk was meant, and ``apply`` does it on all machines or on none.
"""
