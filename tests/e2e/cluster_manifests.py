"""Small manifests for the tests of the cluster itself. They use the S3 image, because it has a Python and is always there."""

from __future__ import annotations

from typing import Any

IMAGE = "ragops.dev/s3:0.1"
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
RESTRICTED_POD = {"runAsNonRoot": True, "runAsUser": 4711, "seccompProfile": {"type": "RuntimeDefault"}}
IDLE = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()"

# Serves its own name at / and, at /metrics, a gauge that a POST sets.
SERVER = """
import http.server, os, sys
gauge = {"value": "0"}
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, text):
        self.send_response(200); self.send_header("Content-Type", "text/plain"); self.end_headers(); self.wfile.write(text.encode())
    def do_GET(self):
        metrics = os.environ.get("METRIC", "queue_length") + " " + gauge["value"] + "\\n"
        self.answer(metrics if self.path == "/metrics" else os.environ["HOSTNAME"])
    def do_POST(self):
        gauge["value"] = self.rfile.read(int(self.headers["Content-Length"])).decode(); self.answer("ok")
    def log_message(self, text, *values):
        print("answered", self.path, flush=True)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def container(code: str, **more: Any) -> dict[str, Any]:
    """A container that runs Python code and satisfies `restricted`."""
    return {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", code],
        "securityContext": RESTRICTED,
        **more,
    }


def pod(name: str, code: str = IDLE, volumes: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A pod of one container that is not started again when it ends."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": RESTRICTED_POD,
            "containers": [container(code, **more)],
            "volumes": volumes or [],
        },
    }


def deployment(
    name: str,
    replicas: int | None,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A deployment of the server above; without `replicas` an autoscaler may own them."""
    environment = [{"name": key, "value": value} for key, value in (env or {}).items()]
    ready = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name, **(labels or {})}, "annotations": annotations or {}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "securityContext": RESTRICTED_POD,
                "containers": [container(SERVER, readinessProbe=ready, env=environment)],
            },
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def service(name: str) -> dict[str, Any]:
    """A service in front of the deployment of the same name."""
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def claim(name: str, size: str = "10Mi") -> dict[str, Any]:
    """A claim on the default StorageClass."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def autoscaler(name: str, pipeline: str, minimum: int, maximum: int, target: str) -> dict[str, Any]:
    """An autoscaler on the external metric queue_length."""
    metric = {"name": "queue_length", "selector": {"matchLabels": {"pipeline": pipeline}}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": minimum,
            "maxReplicas": maximum,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
            "metrics": [
                {
                    "type": "External",
                    "external": {"metric": metric, "target": {"type": "AverageValue", "averageValue": target}},
                }
            ],
        },
    }
