"""`python -m rag_gateway`: answer on the public and the preview port until SIGTERM."""

from __future__ import annotations

from rag_runtime import logs, server
from rag_runtime.settings import load

from .assembly import Assembly
from .settings import GatewaySettings


def main() -> None:
    """Read the environment and serve."""
    settings = load(GatewaySettings)
    logs.configure(settings.log_level, pipeline=settings.pipeline, pod=settings.pod)
    assembly = Assembly(settings)
    server.run(
        assembly.listeners,
        health=assembly.health,
        lifespan=assembly.lifespan,
        metrics_port=settings.metrics_port,
        metrics_host=settings.host,
        grace_seconds=settings.grace_seconds,
        drain_seconds=settings.drain_seconds,
    )


if __name__ == "__main__":
    main()
