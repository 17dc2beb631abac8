"""The contents of ``scenarios/`` as frozen and validated values.

``files`` reads and validates; ``profile`` declares a cluster; ``gates`` declares what a week must
prove, and which risks are accepted, by whom and until when; ``drills`` declares what is broken.
"""

from harness.settings.drills import Commands, KnownPods, Selected
from harness.settings.files import (
    ROOT,
    SCENARIOS,
    Flaw,
    Frozen,
    cache_dir,
    config_dir,
    flaws,
    line_of,
    parse,
    parse_yaml,
    read_yaml,
    state_dir,
)
from harness.settings.gates import (
    UNITS,
    GateFile,
    Gates,
    Requirement,
    Target,
    TargetChange,
    Waiver,
    load_gates,
    load_waivers,
    unit_of,
)
from harness.settings.machines import Access, Kubernetes, MachineSettings, SshAccess, Stack
from harness.settings.profile import Profile, load_profile
from harness.settings.provision import NewPartition, NodeNeeds, load_needs
from harness.settings.services import Ingress, Swarm
from harness.settings.storage import Backups, Ceph, Legacy, Rook, Storage

__all__ = [
    "ROOT",
    "SCENARIOS",
    "UNITS",
    "Access",
    "Backups",
    "Ceph",
    "Commands",
    "Flaw",
    "Frozen",
    "GateFile",
    "Gates",
    "Ingress",
    "KnownPods",
    "Kubernetes",
    "Legacy",
    "MachineSettings",
    "NewPartition",
    "NodeNeeds",
    "Profile",
    "Requirement",
    "Rook",
    "Selected",
    "SshAccess",
    "Stack",
    "Storage",
    "Swarm",
    "Target",
    "TargetChange",
    "Waiver",
    "cache_dir",
    "config_dir",
    "flaws",
    "line_of",
    "load_gates",
    "load_needs",
    "load_profile",
    "load_waivers",
    "parse",
    "parse_yaml",
    "read_yaml",
    "state_dir",
    "unit_of",
]
