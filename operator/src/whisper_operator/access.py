"""How the API server is reached: from inside the cluster, else as kubectl would."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException


class NoAccess(Exception):
    """A sentence for whoever starts the operator."""


@dataclass(frozen=True, slots=True)
class Access:
    _configuration: Any

    @property
    def url(self) -> str:
        return str(self._configuration.host).rstrip("/")

    @property
    def server_name(self) -> str | None:
        return self._configuration.tls_server_name or None

    def tls(self) -> ssl.SSLContext | bool:
        found = self._configuration
        if not self.url.startswith("https"):
            return True
        context = ssl.create_default_context(cafile=found.ssl_ca_cert or None)
        if not found.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if found.cert_file:
            context.load_cert_chain(found.cert_file, found.key_file)
        return context

    def headers(self) -> dict[str, str]:
        """Ask before every request: tokens are renewed behind it."""
        settings = self._configuration.auth_settings().values()
        return {setting["key"]: setting["value"] for setting in settings if setting["in"] == "header"}


def find_access() -> Access:
    """Raises NoAccess."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        try:
            config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except ConfigException as error:
            raise NoAccess(
                f"No cluster is configured ({error}). Run in a pod, or name a kubeconfig in KUBECONFIG."
            ) from (error)
    return Access(configuration)
