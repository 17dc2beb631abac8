"""Where a member of etcd answers, by its own configuration, and how its metrics are read.

RKE2 gives HTTP its own port (``listen-client-http-urls``): its client port speaks only gRPC. Its
peers have their own authority. RKE2 and k3s write a YAML file; kubeadm gives etcd arguments, in the
manifest of its static pod.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from harness.core.errors import ConfigError, NotProven, TransportError
from harness.facts.etcd import Buckets
from harness.settings import Profile, parse_yaml
from harness.transport import Shell

# Each file that is there: its path and its text, each ended by a NUL; no configuration is longer.
_READ = """for file; do
    [ -f "$file" ] || continue
    printf '%s\\0' "$file"; head -c 65536 -- "$file"; printf '\\0'
done"""
_CLIENT, _GATEWAY, _METRICS = "listen-client-urls", "listen-client-http-urls", "listen-metrics-urls"
_PEER = {"ca": "peer-trusted-ca-file", "cert": "peer-cert-file", "key": "peer-key-file"}


@dataclass(frozen=True, slots=True)
class EtcdAccess:
    """A member's addresses: for HTTP and metrics, in the order to ask, and for clients.

    ``peer`` names the files (ca, cert, key) of the peers' authority; empty when not known.
    """

    gateways: Sequence[str] = ("https://127.0.0.1:2382", "https://127.0.0.1:2379")
    metrics: Sequence[str] = ("http://127.0.0.1:2381",)
    client: str = "https://127.0.0.1:2379"
    peer: Mapping[str, str] | None = None


def etcd_access(shell: Shell, profile: Profile, server: str) -> EtcdAccess:
    """Where the member on a server answers; RKE2's defaults if it has no configuration.

    NotProven if its configuration exists and is not understood. A server that does not answer
    raises nothing: the next look asks it too, and reports the failure.
    """
    paths = profile.kubernetes.etcd_configuration
    try:
        done = shell.run(server, ("sh", "-c", _READ, "read", *paths), within_s=10.0)
    except TransportError:
        return EtcdAccess()
    fields = done.stdout.split("\0")
    return configured(dict(zip(fields[::2], fields[1::2], strict=False)))


def configured(files: Mapping[str, str]) -> EtcdAccess:
    """Where a member answers by the first of these files, path to text, that configures one.

    NotProven for a text before it that is no mapping in YAML, or gives a key twice.
    """
    settings = next(filter(None, (_settings(*it, files) for it in files.items())), {})
    default = EtcdAccess()
    client = next(_urls(settings, _CLIENT), default.client)
    gateways = tuple(_urls(settings, _GATEWAY)) or (
        (client,) if settings else tuple(default.gateways)
    )
    peer = {name: settings[key] for name, key in _PEER.items() if key in settings}
    return EtcdAccess(
        gateways=gateways,
        metrics=tuple(_urls(settings, _METRICS)) or default.metrics,
        client=client,
        peer=peer if len(peer) == len(_PEER) else None,
    )


def _settings(path: str, text: str, files: Mapping[str, str]) -> dict[str, str]:
    """etcd's settings by the names of its arguments; empty when the text holds none."""
    try:
        document = parse_yaml(text, path)
    except ConfigError as error:
        raise NotProven(" ".join(str(error).split())) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise NotProven(f"{path} is no configuration of etcd: expected settings by their names")
    if document.get("kind") != "Pod":
        peer = document.get("peer-transport-security")
        found = {str(key): str(value) for key, value in document.items()}
        named = peer if isinstance(peer, dict) else {}
        return found | {f"peer-{key}": str(value) for key, value in named.items()}
    flags = dict(_flags(document))
    named_file = flags.get("config-file")
    return _settings(named_file, files.get(named_file, ""), {}) if named_file else flags


def _flags(pod: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The arguments of a static pod's containers, as names and values."""
    spec = pod.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    for container in containers if isinstance(containers, list) else ():
        if not isinstance(container, dict):
            continue
        parts = [container.get("command"), container.get("args")]
        words = [word for part in parts if isinstance(part, list) for word in part]
        for word, following in zip(words, [*words[1:], ""], strict=True):
            if str(word).startswith("--"):
                name, equals, value = str(word)[2:].partition("=")
                yield name, value if equals else str(following)


def _urls(settings: Mapping[str, str], name: str) -> Iterator[str]:
    """The addresses of a setting at which this machine can ask itself, its loopback first."""
    urls = [url.strip() for url in settings.get(name, "").split(",") if "://" in url]
    # This includes all addresses of the machine.
    own = [url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:") for url in urls]
    yield from sorted(own, key=lambda url: "//127.0.0.1:" not in url)


def gauge(text: str, name: str) -> float | None:
    """The value of a metric without labels; None when it is not there."""
    return next((value for labels, value in _samples(text, name) if not labels), None)


def histogram(text: str, name: str) -> Buckets:
    """The buckets of a histogram without labels; none when it is not there."""
    found = sorted(
        (float(labels["le"]), int(count)) for labels, count in _samples(text, f"{name}_bucket")
    )
    return [(None if bound == float("inf") else bound, count) for bound, count in found]


def _samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The labels and value of each sample of one metric; ValueError for what is no such text."""
    families = text_string_to_metric_families(text)
    return [
        (sample.labels, sample.value)
        for family in families
        for sample in family.samples
        if sample.name == name
    ]


def since(later: Buckets, earlier: Buckets) -> Buckets:
    """The samples added between two looks at a histogram; all of them after a restart."""
    before = dict(earlier)
    added = [(bound, count - before.get(bound, 0)) for bound, count in later]
    return later if any(count < 0 for _, count in added) else added
