"""A profile's declaration of rights: of pods on their machine, of accounts in the cluster."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from harness.core.declared import AccountDeclared, ActDeclared, PrivilegesDeclared
from harness.settings.files import Frozen

AccountName = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9.-]+$")]

_ACT = re.compile(
    r"(?P<verb>[a-z]+|\*) (?P<resource>[a-z]+|\*)(\.(?P<group>[a-z0-9.-]+|\*))?"
    r"(/(?P<subresource>[a-z]+|\*))?( (in (?P<namespace>[a-z0-9-]+)|(?P<everywhere>everywhere)))?"
)


def _is_act(given: str) -> str:
    if _ACT.fullmatch(given) is None:
        raise ValueError(
            f"{given!r} is no act: write VERB RESOURCE[.GROUP][/SUBRESOURCE], "
            "with `in NAMESPACE` or `everywhere` if it is not the account's own namespace"
        )
    return given


Act = Annotated[str, AfterValidator(_is_act)]

# Acts that lead to more rights, or to other pods' data. Source: Kubernetes, "Role Based Access
# Control Good Practices", section "privilege escalation risks". A websocket makes pods/exec a get.
FORBIDDEN: tuple[Act, ...] = (
    *("* *.* everywhere", "* * everywhere"),
    *("get secrets", "list secrets", "create secrets", "list secrets everywhere"),
    *("create pods/exec", "get pods/exec", "create pods/attach", "patch pods/ephemeralcontainers"),
    *("create pods", "create pods everywhere", "create serviceaccounts/token"),
    *(
        "get nodes/proxy everywhere",
        "patch nodes everywhere",
        "create persistentvolumes everywhere",
    ),
    *("impersonate users everywhere", "impersonate serviceaccounts"),
    "escalate roles.rbac.authorization.k8s.io",
    "bind roles.rbac.authorization.k8s.io",
    "create rolebindings.rbac.authorization.k8s.io",
    "create clusterrolebindings.rbac.authorization.k8s.io everywhere",
    "update certificatesigningrequests.certificates.k8s.io/approval everywhere",
    "create mutatingwebhookconfigurations.admissionregistration.k8s.io everywhere",
    "create validatingwebhookconfigurations.admissionregistration.k8s.io everywhere",
    "delete namespaces everywhere",
)


def act(given: Act, own: str) -> ActDeclared:
    """An act in the form for checks; without words about a namespace it is in the ``own`` one."""
    found = _ACT.fullmatch(given)
    assert found is not None
    is_everywhere = found["everywhere"] is not None
    return ActDeclared(
        verb=found["verb"],
        resource=found["resource"],
        subresource=found["subresource"] or "",
        group=found["group"] or "",
        namespace="" if is_everywhere else found["namespace"] or own,
    )


class ServiceAccount(Frozen):
    """What a service account does in the cluster.

    Acts are written as for ``kubectl auth can-i``: ``create deployments.apps``, ``get pods/log``,
    ``list nodes everywhere``, ``get configmaps in kube-system``.
    """

    # What it needs: each must be allowed.
    may: tuple[Act, ...] = ()
    # What it must not be able to do, beside the usual acts that are not in `may`.
    must_not: tuple[Act, ...] = ()

    def declared(self, name: str) -> AccountDeclared:
        """The account in the form for checks; ``name`` is NAMESPACE/NAME."""
        own = name.partition("/")[0]
        may = tuple(act(it, own) for it in self.may)
        forbidden = (act(it, own) for it in (*FORBIDDEN, *self.must_not))
        return AccountDeclared(
            may=may, must_not=tuple(dict.fromkeys(it for it in forbidden if it not in may))
        )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if both := sorted({*self.may} & {*self.must_not}):
            raise ValueError(f"{both[0]!r} is in `may` and in `must_not`")
        return self


class Privileges(Frozen):
    """What the workloads of a namespace may have of their machine, and why.

    The Docker socket cannot be declared.
    """

    # A namespace, or a pattern for several: "cattle-*".
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9*-]+$")]
    # A pattern for the names of workloads: "database-*".
    workloads: str = "*"
    # Patterns of paths that they may mount: "/mnt/cephfs/*".
    host_paths: tuple[Annotated[str, Field(pattern="^/")], ...] = ()
    # privileged, hostNetwork, hostPID, hostIPC, or capabilities: NET_ADMIN.
    may: tuple[
        Annotated[str, Field(pattern="^(privileged|hostNetwork|hostPID|hostIPC|[A-Z_]+)$")], ...
    ] = ()
    # They are a part of Kubernetes or of its storage, and may have all of the machine.
    everything: bool = False
    # The reason, for reports.
    because: str = Field(min_length=1)

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.everything == bool(self.host_paths or self.may):
            raise ValueError("say what they may have: `host_paths`, `may`, or `everything: true`")
        return self

    def declared(self) -> PrivilegesDeclared:
        """The declaration in the form for checks."""
        return PrivilegesDeclared(
            namespace=self.namespace,
            workloads=self.workloads,
            host_paths=self.host_paths,
            may=self.may,
            everything=self.everything,
        )
