"""A cluster as its profile declares it, with every target: what a clean case is judged by."""

from __future__ import annotations

from harness.core.declared import (
    AccountDeclared,
    ActDeclared,
    BackupClaim,
    Cluster,
    IngressDeclared,
    IngressPage,
    Machine,
    OsdDisk,
    Port,
    PostgresDeclared,
    PrivilegesDeclared,
    RecordedPartition,
    RoleDeclared,
    StorageClass,
    SwarmAnswer,
    SwarmDeclared,
    SwarmService,
)
from harness.core.declared_platform import (
    JourneyDeclared,
    MadeDeclared,
    ParityRule,
    ReadDeclared,
    ScheduleDeclared,
    ServiceDeclared,
)
from harness.tests import rook_objects

NAMES = ("vmi2887101", "vmi2887102", "vmi2887103")
MACHINES = tuple(
    Machine(name=name, address=f"10.0.0.{number}", roles=("server", "worker"))
    for number, name in enumerate(NAMES, start=1)
)
GIB = 1 << 30
PARTITIONS = (
    RecordedPartition(
        number=1, start_bytes=1 << 20, size_bytes=149 * GIB, type="linux", partuuid="u1"
    ),
    RecordedPartition(
        number=2, start_bytes=150 * GIB, size_bytes=149 * GIB, type="linux", partuuid="u2"
    ),
)
OSD_DISKS = {
    name: OsdDisk(
        path="/dev/sda2",
        number=2,
        osd=number,
        raw=False,
        machine_id=f"id-{name}",
        disk_bytes=300 * GIB,
        partitions=PARTITIONS,
    )
    for number, name in enumerate(NAMES)
}
WEB = SwarmAnswer(port=8080, path="/", status=200, says="odoo", machines=NAMES)
INSTANCE = SwarmAnswer(port=80, path="/", status=200, or_status=(303,), says="", machines=NAMES)
SWARM = SwarmDeclared(
    managers=NAMES[:2],
    instances="odoo-*",
    instance_answer=INSTANCE,
    services={
        "platform_web": SwarmService(replicas=3, answers=(WEB,)),
        "platform_worker": SwarmService(replicas=2),
    },
)
INGRESS = IngressDeclared(
    addresses=tuple(machine.address for machine in MACHINES),
    scheme="https",
    port=443,
    pages=(IngressPage(host="shop.example", path="/health", says="well"),),
    limits={"shop.example": 30},
)
# A whole way of a customer; the ways of an instance and of a database server leave some steps out.
JOURNEY_ACTS = {
    "customer": (
        *("sign up", "subscribe", "create", "change", "back up", "change", "restore", "use"),
        *("stop", "start", "use", "delete"),
    ),
    "instance": (
        *("sign up", "create", "change", "back up", "change", "restore", "use"),
        *("stop", "start", "use", "delete"),
    ),
    "browser": ("sign up", "subscribe", "create", "use", "delete"),
}
_INSTANCE = MadeDeclared(
    size_bytes=10 * GIB, access_mode="ReadWriteOnce", storage_class="rook-cephfs"
)
CLUSTER = Cluster(
    name="test",
    machines=MACHINES,
    kubernetes_version="v1.34.4+rke2r1",
    expected_taints=dict.fromkeys(NAMES, ()),
    sysctls={"net.ipv4.ip_forward": "1"},
    pod_mtu=1450,
    exposed_ports=tuple(Port(it, "tcp", version) for it in (22, 6443) for version in (4, 6)),
    load_balancer_pool=("10.0.0.200-10.0.0.219",),
    osd_disks=OSD_DISKS,
    storage=StorageClass(
        name="cephfs",
        provisioner="rook-ceph.cephfs.csi.ceph.com",
        parameters={"fsName": "cephfs", "pool": "cephfs_data"},
    ),
    legacy={
        "path": "/mnt/cephfs",
        "type": "fuse.ceph-fuse",
        "source": "ceph-fuse",
        "access": "rw",
        "root": "/",
    },
    backups=BackupClaim(claim="odoo-backups-storage", namespace="odoo"),
    schedules=(
        ScheduleDeclared(name="platform-daily", within_h=26, claims=("saasodoo/postgres-*",)),
    ),
    source_gb=86.0,
    rook=rook_objects.profile("cluster").cluster().rook,
    swarm=SWARM,
    ingress=INGRESS,
    swarm_registries=("registry.saasodoo.example",),
    services=(
        ServiceDeclared(was="user-service:8001", name="user-service", port=8001),
        ServiceDeclared(was="postgres:5432", name="pooler", port=6432),
    ),
    services_namespace="saasodoo",
    service_calls={"user-service": ("postgres:5432",), "traefik": ("user-service:8001",)},
    service_reads={
        "user-service": ReadDeclared(path="/users/1", status=200, says="mail", has={"/id": "1"})
    },
    privileges=(
        PrivilegesDeclared(namespace="kube-system", everything=True),
        PrivilegesDeclared(
            namespace="saasodoo", workloads="database-*", host_paths=("/mnt/cephfs/*",)
        ),
    ),
    accounts={
        "saasodoo/instance-service": AccountDeclared(
            may=(
                ActDeclared(
                    verb="create", resource="deployments", group="apps", namespace="saasodoo"
                ),
            ),
            must_not=(
                ActDeclared(verb="create", resource="secrets", namespace="saasodoo"),
                ActDeclared(
                    verb="create", resource="pods", subresource="exec", namespace="saasodoo"
                ),
            ),
        )
    },
    journeys={
        name: JourneyDeclared(acts=acts, makes={acts.index("create"): _INSTANCE})
        for name, acts in JOURNEY_ACTS.items()
    },
    loads={"busy-hour": 500.0},
    parity_requests=("a user",),
    parity_writes=("a new user",),
    parity_rules=(ParityRule(at="header server", because="another web server"),),
    registrations={"the webhook": "billing-service"},
    postgres=PostgresDeclared(
        operator="cloudnative-pg",
        settings={"max_connections": "200"},
        limits={"memory": "2Gi"},
        name="pooler",
        databases=("billing",),
    ),
    equality_different={"": {"role notification_*": "the source never creates it"}},
    queues_lost={"/celeryev.*": "events of monitoring"},
    sessions_lost={"cache:": "it is computed again"},
    database_roles={
        "": {
            "billing_service": RoleDeclared(
                may=("read invoices", "write invoices"), must_not=("connect to auth",)
            )
        }
    },
)
TARGETS = {
    "offered_percent": 99.0,
    "errors_percent": 0.1,
    "slower_ratio": 1.2,
    "undetected_count": 0.0,
    "rto_minutes": 30.0,
    "rpo_minutes": 15.0,
    "differing_count": 0.0,
    "undeclared_count": 0.0,
    "allowed_count": 0.0,
    "clock_source_offset_ms": 100.0,
    "clock_update_minutes": 70.0,
    "clock_between_nodes_ms": 250.0,
    "disk_free_percent": 20.0,
    "memory_available_percent": 10.0,
    "members_count": 3.0,
    "db_quota_percent": 50.0,
    "wal_fsync_p99_ms": 10.0,
    "peer_rtt_p99_ms": 50.0,
    "certificate_days": 30.0,
    "snapshot_age_hours": 24.0,
    "address_s": 30.0,
    "pool_left_count": 1.0,
    "terminating_minutes": 10.0,
    "route_s": 30.0,
    "pair_s": 5.0,
    "controller_minutes": 10.0,
    "sync_write_iops": 500.0,
    "sync_p99_ms": 10.0,
    "osd_bench_deviation_percent": 20.0,
    "bench_age_days": 14.0,
    "bind_s": 60.0,
    "overshoot_percent": 10.0,
    "grow_s": 60.0,
    "give_back_s": 120.0,
    "claims_count": 1.0,
    "claim_gib": 500.0,
    "monitors_count": 3.0,
    "copies_count": 3.0,
    "min_copies_count": 2.0,
    "osds_per_machine_count": 1.0,
    "monitor_skew_ms": 50.0,
    "scrub_age_days": 10.5,
    "deep_scrub_age_days": 12.25,
    "usable_gb": 135.0,
    "source_ratio": 1.5,
    "used_after_loss_percent": 85.0,
    "health_age_minutes": 10.0,
    "lost_count": 0.0,
    "frozen_s": 60.0,
    "back_s": 30.0,
    "sessions_lost_count": 0.0,
    "soak_hours": 8.0,
    "duplicated_count": 0.0,
    "invented_count": 0.0,
    "outage_s": 60.0,
    "restarts_count": 2.0,
    "missing_tasks_count": 0.0,
    "answer_s": 5.0,
    "update_minutes": 30.0,
    "task_failures_count": 3.0,
    "unplaced_count": 0.0,
    "misregistered_count": 0.0,
    "provision_minutes": 3.0,
    "leftovers_count": 0.0,
    "differences_count": 0.0,
    "remains_count": 0.0,
    "instance_answer_s": 5.0,
}
NOW = 1_795_500_000.0
DAY_S = 86_400
MEMBER_IDS = {name: str(1000 + number) for number, name in enumerate(NAMES)}
