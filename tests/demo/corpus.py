"""Cranfield as the demo uses it: documents as objects in S3, questions as the question set of the gate."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

CRANFIELD = Path(__file__).parents[1] / "data/cranfield"
BUCKET = "cranfield"
PREFIX = "documents/"
SOURCE = "cranfield"
# Anything that signs is accepted by the test cluster's S3 server; on a store of your own set the usual variables.
ACCESS_KEY = os.environ.get("AWS_ACCESS_KEY_ID", "test")
SECRET_KEY = os.environ.get("AWS_SECRET_ACCESS_KEY", "test")


@dataclass(frozen=True)
class Question:
    """A question with its judgements: document id -> grade."""

    id: str
    text: str
    relevant: dict[str, int]


def documents(limit: int | None = None) -> Iterator[tuple[str, str]]:
    """(object key below the prefix, Markdown) of the first `limit` documents."""
    with (CRANFIELD / "documents.jsonl").open() as lines:
        for number, line in enumerate(lines):
            if limit is not None and number >= limit:
                return
            document = json.loads(line)
            yield f"{document['id']}.md", document["text"]


def questions(known: set[str] | None = None) -> list[Question]:
    """The 225 questions; with `known`, judgements of other documents are left out, and so are questions that have none left."""
    judged: dict[str, dict[str, int]] = {}
    with (CRANFIELD / "judgements.tsv").open() as table:
        for row in csv.DictReader(table, delimiter="\t"):
            document = f"{SOURCE}/{row['document']}.md"
            if known is None or document in known:
                judged.setdefault(row["question"], {})[document] = int(row["grade"])
    with (CRANFIELD / "questions.jsonl").open() as lines:
        found = [json.loads(line) for line in lines]
    return [Question(each["id"], each["text"], judged[each["id"]]) for each in found if each["id"] in judged]


def question_set(chosen: list[Question]) -> str:
    """JSON Lines as `spec.rollout.evaluation.questionSet` wants them."""
    return "".join(json.dumps({"id": q.id, "text": q.text, "relevant": q.relevant}) + "\n" for q in chosen)


@dataclass(frozen=True)
class Bucket:
    """The S3 bucket, from this machine."""

    endpoint: str

    def create(self) -> None:
        """Make the bucket; there already is fine. Path-style PUT, which S3-compatible stores share."""
        reply = httpx.put(f"{self.endpoint}/{BUCKET}", trust_env=False, timeout=30, headers=_UNSIGNED)
        if reply.status_code not in (httpx.codes.OK, httpx.codes.CONFLICT):
            reply.raise_for_status()

    def upload(self, objects: Iterator[tuple[str, str]]) -> int:
        """Put every (key, text) below the prefix; returns how many."""
        import obstore

        store = self._store()
        count = 0
        for key, text in objects:
            obstore.put(store, PREFIX + key, text.encode())
            count += 1
        return count

    def put(self, key: str, text: str) -> None:
        """Put one document."""
        self.upload(iter([(key, text)]))

    def delete(self, key: str) -> None:
        """Delete one document."""
        import obstore

        obstore.delete(self._store(), PREFIX + key)

    def _store(self) -> Any:
        from obstore.store import S3Store

        return S3Store(
            BUCKET,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )


_UNSIGNED = {"authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request"}
