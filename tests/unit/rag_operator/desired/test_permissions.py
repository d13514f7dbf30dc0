from __future__ import annotations

from itertools import product
from typing import Any

from doubles.manifests import OWNER, examples, revision_of, wanted_of
from rag_operator.desired import permissions
from rag_operator.desired.children import children
from rag_operator.desired.context import Owner, Surroundings
from rag_operator.desired.permissions import Rule
from rag_operator.kube import resources
from rag_operator.kube.apply import CREATE_ONLY


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of rules."""
    return {right for rule in rules for right in product(rule["apiGroups"], rule["resources"], rule["verbs"])}


OPERATOR = rights(permissions.rendered(permissions.OPERATOR))


def test_nothing_is_a_wildcard_and_no_secret_is_ever_read() -> None:
    tables = (*permissions.OPERATOR, *permissions.DISCOVERY, *permissions.leader("x"), *permissions.EDITOR, *permissions.VIEWER)
    for rule in tables:
        assert "*" not in (rule.group, *rule.resources, *rule.verbs)
        assert "secrets" not in rule.resources
        assert not {"escalate", "bind", "impersonate"} & set(rule.verbs)


def test_the_operator_may_write_every_kind_that_it_builds() -> None:
    for _, name, spec in examples():
        for manifest in children(Owner(name, "n", "u"), wanted_of(revision_of(spec, pipeline=name)), Surroundings(pod_monitors=True)):
            resource = resources.of(manifest)
            # What is created only is read when it exists already: whose is it?
            for verb in ("create", "get" if manifest["kind"] in CREATE_ONLY else "patch"):
                assert (resource.group, resource.plural, verb) in OPERATOR, f"{verb} {resource.plural}"


def test_the_operator_may_watch_every_kind_that_it_watches() -> None:
    for resource in resources.WATCHED:
        for verb in ("list", "watch"):
            assert (resource.group, resource.plural, verb) in OPERATOR, f"{verb} {resource.plural}"


def test_what_holds_data_is_never_deleted() -> None:
    for resource in (resources.CLAIMS, resources.STATEFUL_SETS, resources.MILVUS, resources.CONFIG_MAPS):
        assert (resource.group, resource.plural, "delete") not in OPERATOR


def test_the_operator_holds_every_right_that_it_gives_away() -> None:
    given = [
        rule
        for manifest in children(OWNER, wanted_of(revision_of()), Surroundings())
        if manifest["kind"] == "Role"
        for rule in manifest["rules"]
    ]
    given += permissions.rendered(permissions.indexer_rules(("i",), ("c",)))
    assert rights(given) <= OPERATOR


def test_every_line_of_the_table_says_what_it_is_for() -> None:
    assert all(rule.why for rule in (*permissions.OPERATOR, *permissions.DISCOVERY, *permissions.leader("x")))


def test_a_rule_for_named_objects_names_them() -> None:
    assert Rule("", ("configmaps",), ("get",), only=("a",)).rendered()["resourceNames"] == ["a"]
    assert "resourceNames" not in Rule("", ("configmaps",), ("get",)).rendered()
