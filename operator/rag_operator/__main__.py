"""`python -m rag_operator run`: the operator's process. Options win over the environment (`RAG_OPERATOR_*`, see settings.py)."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from rag_operator.settings import Settings
from rag_operator.shell import logs
from rag_operator.shell.app import App


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator; returns the exit status."""
    chosen = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None and name != "command"}
    try:
        settings = Settings(**chosen)
    except ValidationError as error:
        for found in error.errors():
            where = ".".join(str(part) for part in found["loc"]) or "settings"
            print(f"{where}: {found['msg']}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    return asyncio.run(App(settings).run())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rag_operator", description="The operator for retrieval-augmented generation.")
    run = parser.add_subparsers(dest="command", required=True).add_parser("run", help="run the operator")
    run.add_argument("--kubeconfig", help="file; unset: the pod's service account, else the user's own")
    run.add_argument("--namespace", help="the operator's own namespace, where its Lease lives")
    run.add_argument("--namespaces", help="comma-separated namespaces to look after; unset: all")
    run.add_argument("--identity", help="name of this replica in the Lease")
    run.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    run.add_argument("--gateway-scrape", choices=("on", "off"), help="off where gateway pods cannot be reached")
    run.add_argument("--metrics-port", type=int, help="0: a free one")
    run.add_argument("--no-leader-election", dest="leader_election", action="store_const", const=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
