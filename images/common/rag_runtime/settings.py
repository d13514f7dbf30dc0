"""Settings from the environment, the names being those of `contracts.pods`.

A part derives from `PodSettings` and adds its own fields with `env(NAME, default)`. `load()` is the one way to read them at start:
what is wrong ends the process with one line per variable that says its name, its value and what is allowed.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from rag_runtime.contracts import pods

__all__ = ["PodSettings", "describe", "env", "load"]


def env(name: str, default: Any = ..., **constraints: Any) -> Any:
    """A field read from the environment variable `name`; without `default` it is required."""
    return Field(default, validation_alias=name, **constraints)


class PodSettings(BaseSettings):
    """What every pod is told about itself."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True, case_sensitive=True)

    namespace: str = env(pods.ENV_NAMESPACE, "")
    pipeline: str = env(pods.ENV_PIPELINE, "")
    component: str = env(pods.ENV_COMPONENT, "")
    pod: str = env(pods.ENV_POD, "")
    log_level: str = env(pods.ENV_LOG_LEVEL, "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    # terminationGracePeriodSeconds of the pod; everything ends a little before the kubelet would end it.
    grace_seconds: float = env(pods.ENV_GRACE_SECONDS, 30.0, ge=0, le=86_400)
    # How long connections are still accepted after the pod is no longer ready. Nobody tells a pod when the last kube-proxy has
    # forgotten it, so this is time, not an event.
    drain_seconds: float = env(pods.ENV_DRAIN_SECONDS, 3.0, ge=0, le=600)
    metrics_port: int = env(pods.ENV_METRICS_PORT, pods.METRICS_PORT, ge=0, le=65_535)


S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S]) -> S:
    """Read `kind` from the environment; exits with code 2 and one line per wrong variable."""
    try:
        return kind()
    except ValidationError as error:
        for line in describe(error):
            print(line, file=sys.stderr)
        raise SystemExit(2) from None


def describe(error: ValidationError) -> list[str]:
    """One sentence per problem. A value is shown unless its name says that it is secret."""
    return [_sentence(detail["loc"], detail["msg"], detail.get("input"), detail["type"]) for detail in error.errors()]


def _sentence(place: tuple[int | str, ...], message: str, value: object, kind: str) -> str:
    name = ".".join(str(part) for part in place)
    if kind == "missing":
        return f"{name} is not set, but required"
    secret = any(word in name.upper() for word in ("KEY", "TOKEN", "PASSWORD", "SECRET"))
    return f"{name}={'…' if secret else value}: {message}"
