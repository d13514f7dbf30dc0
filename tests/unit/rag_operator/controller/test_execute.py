"""What a pass writes when the server refuses one of the children."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from doubles.manifests import OWNER, TEMPLATES, revision_of, spec_of
from doubles.seen import seen_of
from rag_operator import errors
from rag_operator.controller.analysis import Baselines
from rag_operator.controller.decide import Given, Judged, decide
from rag_operator.controller.execute import execute
from rag_operator.desired import revision_record, routing
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, Resource
from rag_operator.model.plan import Record, TableIntent
from rag_operator.model.validated import ValidatedPipeline
from rag_runtime.contracts.routing import TABLE_KEY, RoutingTable

NOW = 1_800_000_000.0
SPEC = spec_of()
STABLE, CANDIDATE, RETIRED = (revision_of(spec_of(retrieval={"topK": k})) for k in (8, 9, 10))


class Refusing:
    """A writer whose children are refused; what it writes as the routing table."""

    def __init__(self) -> None:
        self.tables: list[dict[str, int]] = []

    async def bring(self, *_: object) -> errors.ApiError:
        return errors.Invalid("failed to apply: Ingress is refused", status=422)

    async def bring_at(self, manifest: Mapping[str, Any], _: object) -> None:
        table = RoutingTable.from_json(manifest["data"][TABLE_KEY])
        self.tables.append({route.revision: route.weight for route in table.routes})

    async def nothing(self, *_: object) -> None: ...

    bring_one = amend = remove = prune = nothing


def stored(resource: Resource, manifest: Mapping[str, Any]) -> Child:
    return reduce(resource, {**manifest, "metadata": {**manifest["metadata"], "uid": manifest["metadata"]["name"], "resourceVersion": "1"}})


async def test_a_child_that_is_refused_keeps_no_traffic_on_what_is_aborted_while_another_one_is_listed_again() -> None:
    answering = [routing.Answering(STABLE, 50), routing.Answering(CANDIDATE, 50)]
    table = routing.config_map(OWNER, routing.routing_table(OWNER, answering, epoch=7, salt=""))
    records = [stored(CONTROLLER_REVISIONS, revision_record.manifest(OWNER, one, 1)) for one in (STABLE, CANDIDATE, RETIRED)]
    seen = seen_of(SPEC, [*records, stored(CONFIG_MAPS, table)], record=Record(stable=STABLE.name))
    decided = decide(seen, Judged(ValidatedPipeline(SPEC)), Given(TEMPLATES, Baselines(lambda: NOW), "aaaaaaaa", NOW))
    assert decided is not None
    meant = TableIntent({STABLE.name: 100, RETIRED.name: 0}, "", "aborted")
    writer = Refusing()
    with pytest.raises(errors.Invalid):
        await execute(writer, seen, replace(decided, plan=replace(decided.plan, table=meant)), [])  # type: ignore[arg-type]
    assert writer.tables == [{STABLE.name: 100}]
