"""A generator in the cluster that answers whoever shows a key that it knows. It can be told to forget one."""

from __future__ import annotations

from typing import Any

from e2e.cluster_manifests import pod, service
from e2e.namespaces import Namespace

NAME = "llm"
_PORT = 8080

# OpenAI's chat completions as a stream, which is all that a gateway asks for; to /forget the key that is known no more is sent.
_SERVER = """
import http.server, json, os
known = set(os.environ["KEYS"].split())
events = [{"delta": {"content": "It is as the passage says [1]."}}, {"delta": {}, "finish_reason": "stop"}]
stream = "".join("data: " + json.dumps({"choices": [event]}) + "\\n\\n" for event in events) + "data: [DONE]\\n\\n"
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, kind, text):
        self.send_response(status); self.send_header("Content-Type", kind); self.send_header("Content-Length", str(len(text)))
        self.end_headers(); self.wfile.write(text.encode())
    def do_GET(self):
        self.answer(200, "text/plain", "ok")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/forget":
            known.discard(body); self.answer(200, "text/plain", "ok")
        elif self.headers.get("Authorization", "").removeprefix("Bearer ") in known:
            self.answer(200, "text/event-stream", stream)
        else:
            self.answer(401, "text/plain", "this key is not known")
    def log_message(self, text, *values):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("", 8080), Handler).serve_forever()
"""


def manifests(*keys: str) -> list[dict[str, Any]]:
    """The generator and its Service."""
    ready = {"httpGet": {"path": "/", "port": _PORT}, "periodSeconds": 1}
    known = [{"name": "KEYS", "value": " ".join(keys)}]
    found = pod(NAME, _SERVER, env=known, readinessProbe=ready, resources={"requests": {"cpu": "20m"}})
    found["metadata"]["labels"] = {"app": NAME}
    return [found, service(NAME)]


def url(namespace: Namespace) -> str:
    """Its API, as a spec names it."""
    return f"http://{NAME}.{namespace.name}.svc/v1"


def forget(namespace: Namespace, key: str) -> None:
    """From now on this key is refused."""
    namespace.run_python(NAME, f"import urllib.request as u; u.urlopen('http://127.0.0.1:{_PORT}/forget', data={key.encode()!r})")
