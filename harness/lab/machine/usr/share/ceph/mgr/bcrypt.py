"""In the place of bcrypt, whose Rust code refuses to load in a manager's second interpreter.

Ceph's modules import it when they start, and only the dashboard uses it.
"""


def _absent(*_: object) -> bytes:
    raise NotImplementedError("this Ceph hashes no passwords")


gensalt = hashpw = _absent
