"""How to reach the API server: from a kubeconfig, or from the pod's service account."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import incluster_config


@dataclass(frozen=True)
class Access:
    """An address with credentials that renew themselves."""

    configuration: Configuration

    @property
    def server(self) -> str:
        """The API server's base URL."""
        return str(self.configuration.host).rstrip("/")

    @property
    def certificate(self) -> tuple[str, str] | None:
        """Files of the client certificate and its key."""
        if not self.configuration.cert_file:
            return None
        return str(self.configuration.cert_file), str(self.configuration.key_file)

    @property
    def authority(self) -> str | None:
        """File of the certificate authority."""
        return str(self.configuration.ssl_ca_cert) if self.configuration.ssl_ca_cert else None

    @property
    def verified(self) -> bool:
        """Whether the server's certificate is checked."""
        return bool(self.configuration.verify_ssl)

    async def authorization(self) -> str | None:
        """The header's value, renewed when it is about to expire."""
        found = (await self.configuration.auth_settings()).get("BearerToken")
        return str(found["value"]) if found else None

    def ssl_context(self) -> ssl.SSLContext:
        """The context for connections to the server."""
        context = ssl.create_default_context(cafile=self.authority)
        if self.certificate:
            context.load_cert_chain(*self.certificate)
        if not self.verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


async def load(kubeconfig: str | None = None, context: str | None = None) -> Access:
    """From the file, else from the service account when run in a pod, else from the user's own kubeconfig."""
    configuration = Configuration()
    if kubeconfig is None and context is None and _in_pod():
        token, authority = incluster_config.SERVICE_TOKEN_FILENAME, incluster_config.SERVICE_CERT_FILENAME
        incluster_config.InClusterConfigLoader(token_filename=token, cert_filename=authority).load_and_set(configuration)
    else:
        chosen = kubeconfig or os.environ.get("KUBECONFIG")
        await config.load_kube_config(config_file=chosen, context=context, client_configuration=configuration, persist_config=False)
    return Access(configuration)


def _in_pod() -> bool:
    return incluster_config.SERVICE_HOST_ENV_NAME in os.environ and Path(incluster_config.SERVICE_TOKEN_FILENAME).exists()
