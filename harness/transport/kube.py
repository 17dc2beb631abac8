"""The Kubernetes API as plain JSON, by the official client without its models or its retries."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import ConfigException, load_kube_config

from harness.errors import ConfigError, Denied, TimedOut, TransportError, Unreachable
from harness.transport.deadline import within
from harness.transport.http import Credentials, get
from harness.transport.podexec import run_in_pod
from harness.transport.protocols import Answer, Completed

_MANAGER = "cutover"
_APPLY = "application/apply-patch+yaml"


class ApiKube:
    """One cluster's API; the kubeconfig is read on first use. Safe to use from several threads.

    Every call raises ConfigError when the kubeconfig cannot be used, Denied when the API's
    certificate or our permission is wrong, Unreachable or TimedOut when the API does not answer.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._loading = threading.Lock()
        self._loaded: Configuration | None = None
        self._client: ApiClient | None = None
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        return self._call("GET", path, None, within_s)

    def ask(self, url: str, *, anonymous: bool = False, within_s: float = 5.0) -> Answer:
        return get(url, None if anonymous else self._credentials(), within_s=within_s)

    def create(self, path: str, manifest: Mapping[str, Any], *, within_s: float = 10.0) -> Any:
        return self._call("POST", path, manifest, within_s)

    def apply(self, manifest: Mapping[str, Any], *, within_s: float = 10.0) -> None:
        query = urlencode({"fieldManager": _MANAGER, "force": "true"})
        path = self._path_of(manifest, within_s)
        self._call("PATCH", f"{path}?{query}", manifest, within_s, content_type=_APPLY)

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        self._call("DELETE", path, None, within_s, missing_is_fine=True)

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
    ) -> Completed:
        return run_in_pod(
            self._configuration(), namespace, pod, argv, stdin=stdin.encode(), within_s=within_s
        )

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.rest_client.pool_manager.clear()

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        within_s: float,
        *,
        content_type: str = "application/json",
        missing_is_fine: bool = False,
    ) -> Any:
        client = self._api()
        what = f"{method} {path.partition('?')[0]} on {client.configuration.host}"

        def call() -> Any:
            response = client.call_api(
                path,
                method,
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _preload_content=False,
                _request_timeout=(within_s, within_s),
            )
            return json.loads(response.data or b"null")

        try:
            return within(within_s, call, what=what, abandon=lambda: None)
        except ApiException as error:
            if missing_is_fine and error.status == 404:
                return None
            raise _from_status(what, error, self._kubeconfig) from error
        except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
            raise TimedOut(f"{what}: no answer within {within_s:g} s") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(
                f"{what}: {error}",
                remedy="is the API server up, and may we pass the firewall to it?",
            ) from error
        except ValueError as error:
            raise TransportError(f"{what}: the answer is not JSON: {error}") from error

    def _path_of(self, manifest: Mapping[str, Any], within_s: float) -> str:
        version, kind = manifest["apiVersion"], manifest["kind"]
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._plurals:
            for resource in self.get(group, within_s=within_s)["resources"]:
                if "/" not in resource["name"]:
                    known = (resource["name"], resource["namespaced"])
                    self._plurals[version, resource["kind"]] = known
        if (version, kind) not in self._plurals:
            raise TransportError(f"the API has no {kind} of {version}")
        plural, namespaced = self._plurals[version, kind]
        metadata = manifest["metadata"]
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

    def _api(self) -> ApiClient:
        configuration = self._configuration()
        with self._loading:
            if self._client is None:
                self._client = ApiClient(configuration)
            return self._client

    def _configuration(self) -> Configuration:
        with self._loading:
            if self._loaded is None:
                self._loaded = _load(self._kubeconfig)
            return self._loaded


def _load(kubeconfig: Path) -> Configuration:
    configuration = Configuration()
    try:
        kubeconfig.stat()  # the client does not say that a file is missing
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
    # Retries would outlast the deadline of the call, and proxies lead out, not to the cluster.
    configuration.retries = False
    configuration.no_proxy = "*"
    return configuration


def _from_status(what: str, error: ApiException, kubeconfig: Path) -> TransportError:
    """The harness's word for an answer that is not a success."""
    if not error.status:
        return Denied(
            f"{what}: the API's certificate is not signed by the authority in the kubeconfig: "
            f"{str(error.reason).splitlines()[-1]}",
            remedy=f"is {kubeconfig} of this cluster? Fetch it anew from a server",
        )
    says = _message(error)
    if error.status == 401:
        return Denied(f"{what}: the credentials in {kubeconfig} are not accepted: {says}")
    if error.status == 403:
        return Denied(
            f"{what}: not allowed: {says}",
            remedy="give the account the cutover role; `./cutover doctor` lists what is missing",
        )
    if error.status in (429, 500, 502, 503, 504):
        return Unreachable(f"{what}: the API answered {error.status}: {says}")
    return TransportError(f"{what}: the API answered {error.status}: {says}")


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
