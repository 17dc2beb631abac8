"""The Kubernetes API as plain JSON.

If the kubeconfig names one of the servers and that server is lost, the harness asks the others. If
it names an address which the servers share, the harness asks only that address: the cluster must
move it when its server is lost, and that is measured.

The official client reads the kubeconfig and renews tokens. Its own calls are not used: they build
models, retry past a deadline, and warn of their own deprecated parts.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, load_kube_config

from harness.core.errors import (
    ConfigError,
    Conflict,
    Denied,
    NotFound,
    TimedOut,
    TransportError,
    Unreachable,
)
from harness.core.parallel import within
from harness.core.waiting import until
from harness.transport.network import Credentials, get, tls_context
from harness.transport.objects import flag, listed, must
from harness.transport.podexec import run_in_pod
from harness.transport.protocols import Answer, Completed

_MANAGER = "cutover"
_CONNECTIONS = 16
_APPLY = "application/apply-patch+yaml"
_JSON = "application/json"
# How long a server may take to accept a connection and to confirm a request, if there is another
# server: less than any call's deadline. A slow API confirms at once, and answers later.
_ACCEPTS_S = 2.0
_CONFIRMS_S = 3
_UNHEARD = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
_TCP = socket.IPPROTO_TCP
_NOTICING_LOSS = [
    (_TCP, socket.TCP_NODELAY, 1),
    (_TCP, socket.TCP_USER_TIMEOUT, _CONFIRMS_S * 1000),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (_TCP, socket.TCP_KEEPIDLE, _CONFIRMS_S),
    (_TCP, socket.TCP_KEEPINTVL, 1),
]
# Such an answer names a second in Retry-After.
_TOO_MANY, _AGAIN_S = 429, 1.0
_USUAL = urllib3.connection.HTTPConnection.default_socket_options
# Only the object's name and labels: the API does not even send the content of a Secret.
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class ApiKube:
    """One cluster's API; the kubeconfig is read on first use. Safe to use from several threads.

    ``servers`` are lists of the API servers' URLs, one list for each place from which they are
    seen. The list that holds the kubeconfig's own URL is used. A server that answers is asked
    again. A request that may have reached a server is sent once, unless it only reads.

    Every call raises ConfigError when the kubeconfig cannot be used, Denied when the API's
    certificate or the harness's permission is wrong, Unreachable or TimedOut when the API does not
    answer.
    """

    def __init__(self, kubeconfig: Path, servers: Iterable[Sequence[str]] = ()) -> None:
        self._kubeconfig = kubeconfig
        self._loading = threading.Lock()
        self._loaded: Configuration | None = None
        self._pool: urllib3.PoolManager | None = None
        self._servers = tuple(servers)
        self._hosts: tuple[str, ...] = ()  # the one that answers is the first
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def get(self, path: str, *, within_s: float = 10.0) -> object:
        return self._call("GET", path, None, within_s)

    def exists(self, path: str, *, within_s: float = 10.0) -> bool:
        try:
            self._call("GET", path, None, within_s, accept=_METADATA)
        except NotFound:
            return False
        return True

    def ask(self, url: str, *, anonymous: bool = False, within_s: float = 5.0) -> Answer:
        return get(url, None if anonymous else self._credentials(), within_s=within_s)

    def create(
        self, path: str, manifest: Mapping[str, object], *, within_s: float = 10.0
    ) -> object:
        return self._call("POST", path, manifest, within_s)

    def apply(self, manifest: Mapping[str, object], *, within_s: float = 10.0) -> None:
        query = urlencode({"fieldManager": _MANAGER, "force": "true"})
        path = self._path_of(manifest, within_s)
        self._call("PATCH", f"{path}?{query}", manifest, within_s, content_type=_APPLY)

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        self._call("DELETE", path, None, within_s)

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
    ) -> Completed:
        configuration, host = self._configuration(), self._hosts[0]
        try:
            return run_in_pod(
                configuration,
                host,
                namespace,
                pod,
                argv,
                stdin=stdin.encode(),
                within_s=within_s,
                first=partial(self._first_container, namespace, pod),
            )
        except (Unreachable, TimedOut):
            self._pass_by(host)
            raise

    def _first_container(self, namespace: str, pod: str) -> str:
        # Listed, not got: a role that may run commands in pods may list them.
        only = urlencode({"fieldSelector": f"metadata.name={pod}"})
        found = listed(self.get(f"/api/v1/namespaces/{namespace}/pods?{only}"), "items")
        if not found:
            raise NotFound(f"pod {namespace}/{pod} is gone")
        return must(listed(found[0], "spec", "containers")[0], "name")

    def log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        lines: int = 400,
        within_s: float = 10.0,
    ) -> str:
        query = {"container": container, "tailLines": lines, "previous": str(previous).lower()}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log?{urlencode(query)}"
        return str(self._call("GET", path, None, within_s, accept="*/*"))

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        within_s: float,
        *,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> object:
        """What the API answers, or None when there is nothing to DELETE."""
        credentials = self._credentials()
        headers = {"Accept": accept, "Content-Type": content_type}
        if credentials.authorization:
            headers["Authorization"] = credentials.authorization
        request = _Request(method, path, None if body is None else json.dumps(body), headers)
        what, response = self._settled(request, self._connections(credentials), within_s)
        if method == "DELETE" and response.status == 404:
            return None
        if accept == "*/*" and response.status < 300:
            return response.data.decode(errors="replace")
        return _content(what, response, self._kubeconfig)

    def _settled(
        self, request: _Request, pool: urllib3.PoolManager, within_s: float
    ) -> tuple[str, urllib3.BaseHTTPResponse]:
        """The answer; a read that the API is too busy for is sent again, as kubectl does."""
        deadline = time.monotonic() + within_s
        answers: list[tuple[str, urllib3.BaseHTTPResponse]] = []

        def is_settled() -> bool:
            left_s = max(0.1, deadline - time.monotonic())
            answers.append(self._answer(request, pool, left_s))
            return answers[-1][1].status != _TOO_MANY or not request.only_reads

        try:
            until(is_settled, within_s=within_s, every_s=_AGAIN_S, what=request.path)
        except TimedOut:
            if not answers:
                raise
        return answers[-1]

    def _answer(
        self, request: _Request, pool: urllib3.PoolManager, within_s: float
    ) -> tuple[str, urllib3.BaseHTTPResponse]:
        """The request as sent, and the answer of the first server that gives one."""
        deadline = time.monotonic() + within_s
        hosts = self._hosts
        failures: list[TransportError] = []
        for number, host in enumerate(hosts, 1):
            is_last = number == len(hosts)
            what = f"{request.method} {request.path.partition('?')[0]} on {host}"
            left_s = max(0.1, deadline - time.monotonic())
            accepts_s = left_s if is_last else min(_ACCEPTS_S, left_s)
            call = partial(request.send, pool, host, accepts_s, left_s)
            try:
                response = within(left_s, call, what=what, abandon=lambda: None)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failures.append(_from_failure(what, error, self._kubeconfig, within_s))
                failures[-1].__cause__ = error
                goes_on = request.may_be_sent_again(error)
            except TimedOut as late:
                failures.append(late)
                goes_on = False
            else:
                if response.status < 500:
                    return what, response
                goes_on = request.only_reads and not is_last
                if not goes_on:
                    self._pass_by(host)
                    return what, response
            self._pass_by(host)
            if not goes_on or time.monotonic() >= deadline:
                break
        raise failures[0]

    def _pass_by(self, host: str) -> None:
        """From now on, ask another server first, if there is one."""
        with self._loading:
            if self._hosts[0] == host:
                self._hosts = (*self._hosts[1:], host)

    def _path_of(self, manifest: Mapping[str, object], within_s: float) -> str:
        version, kind = str(manifest["apiVersion"]), str(manifest["kind"])
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._plurals:
            for resource in listed(self.get(group, within_s=within_s), "resources"):
                if "/" not in (name := must(resource, "name")):
                    known = (name, flag(resource, "namespaced"))
                    self._plurals[version, must(resource, "kind")] = known
        if (version, kind) not in self._plurals:
            raise TransportError(f"the API has no {kind} of {version}")
        plural, namespaced = self._plurals[version, kind]
        metadata = manifest["metadata"]
        assert isinstance(metadata, Mapping), "every manifest has metadata"
        inside = f"/namespaces/{metadata['namespace']}" if namespaced else ""
        return f"{group}{inside}/{plural}/{metadata['name']}"

    def _credentials(self) -> Credentials:
        configuration = self._configuration()
        return Credentials(
            ca_file=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
            authorization=configuration.get_api_key_with_prefix("authorization"),
        )

    def _connections(self, credentials: Credentials) -> urllib3.PoolManager:
        server_name = self._configuration().tls_server_name
        has_another = len(self._hosts) > 1
        with self._loading:
            if self._pool is None:
                self._pool = urllib3.PoolManager(
                    maxsize=_CONNECTIONS,
                    retries=False,  # they would outlast the deadline of the call
                    ssl_context=tls_context(credentials),
                    server_hostname=server_name or None,
                    socket_options=_NOTICING_LOSS if has_another else _USUAL,
                )
            return self._pool

    def _configuration(self) -> Configuration:
        with self._loading:
            if self._loaded is None:
                loaded = _load(self._kubeconfig)
                own = loaded.host.rstrip("/")
                beside = next((it for it in self._servers if own in it), ())
                self._hosts = (own, *(it for it in beside if it != own))
                self._loaded = loaded
            return self._loaded


@dataclass(frozen=True, slots=True)
class _Request:
    """One request to the API, whichever server is asked."""

    method: str
    path: str
    body: str | None
    headers: Mapping[str, str]

    @property
    def only_reads(self) -> bool:
        return self.method == "GET"

    def send(
        self, pool: urllib3.PoolManager, host: str, accepts_s: float, within_s: float
    ) -> urllib3.BaseHTTPResponse:
        return pool.request(
            self.method,
            f"{host}{self.path}",
            body=self.body,
            headers=self.headers,
            timeout=urllib3.Timeout(connect=accepts_s, total=within_s),
        )

    def may_be_sent_again(self, error: Exception) -> bool:
        """True if no server received it, or if it only reads."""
        return self.only_reads or isinstance(error, _UNHEARD) or _is_untrusted(error)


def _is_untrusted(error: Exception) -> bool:
    """True if the server's certificate is refused; any other TLS error may follow a request."""
    return isinstance(error.args[0] if error.args else None, ssl.SSLCertVerificationError)


def _load(kubeconfig: Path) -> Configuration:
    configuration = Configuration()
    try:
        kubeconfig.stat()  # the client does not report a missing file
        load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
    except (ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"cannot use the kubeconfig {kubeconfig}: {why}",
            remedy="access.kubeconfig in the profile names a kubeconfig with a current context; "
            "on an RKE2 server it is /etc/rancher/rke2/rke2.yaml, with the server's address in it",
        ) from error
    if not configuration.verify_ssl:
        raise ConfigError(
            f"the kubeconfig {kubeconfig} skips the verification of the API's certificate",
            remedy="replace insecure-skip-tls-verify by certificate-authority-data",
        )
    # Proxies of the environment lead out, not to the cluster.
    configuration.no_proxy = "*"
    return configuration


def _from_failure(what: str, error: Exception, kubeconfig: Path, within_s: float) -> TransportError:
    """The harness's error for a call without an answer."""
    if _is_untrusted(error):
        return Denied(
            f"{what}: the API's certificate is not signed by the authority in the kubeconfig: "
            f"{error}",
            remedy=f"is {kubeconfig} of this cluster? Fetch it again from a server",
        )
    # Its own text has the connection's place in memory; its cause is the kernel's word.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    if not refused and isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)):
        return TimedOut(f"{what}: no answer within {within_s:g} s")
    return Unreachable(
        f"{what}: {(refused and error.__cause__) or error}",
        remedy="see that the API server runs, and that its firewall lets this computer in",
    )


def _content(what: str, response: urllib3.BaseHTTPResponse, kubeconfig: Path) -> object:
    """The object in a successful answer; any other answer is an error."""
    try:
        content = json.loads(response.data or b"null")
    except ValueError:
        content = None
        if response.status < 300:
            raise TransportError(f"{what}: the answer is not JSON") from None
    if response.status < 300:
        return content
    says = content.get("message", "") if isinstance(content, dict) else response.reason
    if response.status == 401:
        raise Denied(
            f"{what}: the credentials in {kubeconfig} are not accepted: {says}",
            remedy="renew them (they may have expired), then run ./cutover doctor",
        )
    if response.status == 403:
        raise Denied(
            f"{what}: not allowed: {says}",
            remedy="`./cutover doctor` lists every permission that is missing",
        )
    is_away = response.status == _TOO_MANY or response.status >= 500
    otherwise = Unreachable if is_away else TransportError
    kind = {404: NotFound, 409: Conflict}.get(response.status, otherwise)
    raise kind(f"{what}: the API answered {response.status}: {says}")
