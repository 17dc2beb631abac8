"""Which file of sysctl.d sets a kernel parameter at boot."""

from __future__ import annotations

import pytest

from harness.facts.host import SysctlSetting
from harness.probes.sysctl_files import sysctl_settings

# What `systemd-sysctl --cat-config` prints on Debian 12 and Ubuntu, made shorter.
CONFIGURATION = """\
# /usr/lib/sysctl.d/50-default.conf
# Source route verification
net.ipv4.conf.default.rp_filter = 2
net.ipv4.conf.*.rp_filter = 2
-net.ipv4.conf.all.rp_filter

# -Wl,--no-undefined
-net.ipv4.ping_group_range = 0\t2147483647

# /etc/sysctl.d/60-rke2-cis.conf
vm.panic_on_oom=0
kernel.panic=10
net/ipv4/ip_forward = 1

# /etc/sysctl.d/99-sysctl.conf
#
# /etc/sysctl.conf - Configuration file for setting system variables
; net.ipv4.ip_forward=1
net.ipv4.ip_forward=0
"""


@pytest.mark.parametrize(
    ("name", "file", "value"),
    [
        ("net.ipv4.ip_forward", "/etc/sysctl.d/99-sysctl.conf", "0"),
        ("kernel.panic", "/etc/sysctl.d/60-rke2-cis.conf", "10"),
        ("net.ipv4.ping_group_range", "/usr/lib/sysctl.d/50-default.conf", "0 2147483647"),
        ("net.ipv4.conf.eth0.rp_filter", "/usr/lib/sysctl.d/50-default.conf", "2"),
        ("net.ipv4.conf.eth0/100.rp_filter", "/usr/lib/sysctl.d/50-default.conf", "2"),
    ],
)
def test_the_last_file_that_sets_a_parameter_is_named(name: str, file: str, value: str) -> None:
    assert sysctl_settings([name], CONFIGURATION) == {name: SysctlSetting(file, value)}


def test_a_parameter_that_no_file_sets_has_no_setting() -> None:
    names = ["vm.overcommit_memory", "net.ipv4.conf.all.rp_filter"]
    assert sysctl_settings(names, CONFIGURATION) == {}
