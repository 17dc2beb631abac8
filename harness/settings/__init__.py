"""What people write in ``scenarios/``, as frozen and validated values.

``files`` reads and validates; ``profile`` declares a cluster; ``gates`` declares what a week must
prove; ``waivers`` declares which risks are accepted, by whom and until when.
"""

from harness.settings.files import ROOT, SCENARIOS, Frozen, cache_dir, parse, read_yaml, state_dir
from harness.settings.profile import (
    Access,
    Kubernetes,
    MachineSettings,
    Profile,
    SshAccess,
    Stack,
    load_profile,
)

__all__ = [
    "ROOT",
    "SCENARIOS",
    "Access",
    "Frozen",
    "Kubernetes",
    "MachineSettings",
    "Profile",
    "SshAccess",
    "Stack",
    "cache_dir",
    "load_profile",
    "parse",
    "read_yaml",
    "state_dir",
]
