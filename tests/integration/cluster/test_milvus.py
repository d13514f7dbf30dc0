"""The Milvus that tests of the data plane stand on."""

from __future__ import annotations

from pymilvus import MilvusClient, MilvusException

from cluster import processes
from cluster.milvus import MilvusServer
from cluster.processes import wait_until

ROWS = [{"id": number, "vector": [1.0, float(number)]} for number in range(50)]


def count(uri: str) -> int:
    client = MilvusClient(uri=uri)
    try:
        found = client.query("kept", filter="", output_fields=["count(*)"], consistency_level="Strong")
        return int(found[0]["count(*)"])
    except MilvusException:
        return -1  # a collection is loaded again some seconds after the server answers
    finally:
        client.close()


def test_rows_survive_a_kill_and_nothing_is_left_in_the_end() -> None:
    with MilvusServer() as milvus:
        client = MilvusClient(uri=milvus.uri)
        client.create_collection("kept", dimension=2, auto_id=False)
        client.insert("kept", ROWS)
        client.close()
        milvus.restart()
        wait_until(lambda: count(milvus.uri) == len(ROWS), 60, "the rows to be seen again", interval=0.5)
    assert not milvus.directory.exists()
    assert list(processes.running(milvus.directory)) == []
