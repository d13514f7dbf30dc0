from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_gateway.epochs import Epochs, TableRejectedError
from rag_gateway.errors import UnavailableError
from rag_gateway.table import adopt
from rag_runtime.contracts.routing import RoutingTable


def _table(epoch: int, salt: str = "") -> RoutingTable:
    return RoutingTable(epoch=epoch, pipeline="p", salt=salt)


def test_before_the_first_table_nothing_is_served() -> None:
    epochs = Epochs()

    assert (epochs.served, epochs.oldest_in_use) == (-1, -1)
    with pytest.raises(UnavailableError, match="not been read"), epochs.use():
        pass


def test_an_epoch_stays_in_use_until_its_last_answer_ends() -> None:
    epochs = Epochs()
    epochs.adopt(_table(1))
    with epochs.use() as first, epochs.use():
        epochs.adopt(_table(2))
        with epochs.use() as second:
            assert (first.epoch, second.epoch) == (1, 2)
            assert (epochs.served, epochs.oldest_in_use) == (2, 1)
    assert epochs.oldest_in_use == 2


def test_an_answer_that_fails_lets_go_of_its_epoch() -> None:
    epochs = Epochs()
    epochs.adopt(_table(1))
    with pytest.raises(RuntimeError), epochs.use():
        raise RuntimeError
    epochs.adopt(_table(2))

    assert epochs.oldest_in_use == 2


@pytest.mark.parametrize("epoch", [3, 4])
def test_a_table_that_does_not_follow_is_rejected_and_the_one_before_stays(epoch: int) -> None:
    epochs = Epochs()
    epochs.adopt(_table(4))

    with pytest.raises(TableRejectedError, match="does not follow epoch 4"):
        epochs.adopt(_table(epoch, salt="other"))
    assert epochs.table == _table(4)


def test_the_same_table_again_is_no_news() -> None:
    epochs, adopted = Epochs(), []
    epochs.on_adopt(lambda table: adopted.append(table.epoch))

    assert [epochs.adopt(_table(1)), epochs.adopt(_table(1)), epochs.adopt(_table(2))] == [True, False, True]
    assert adopted == [1, 2]


@pytest.mark.parametrize("text", ["", "[]", '{"epoch": 2}', '{"version": 9, "epoch": 2, "pipeline": "p"}'])
def test_a_text_that_is_no_table_is_counted_and_changes_nothing(text: str) -> None:
    epochs, rejected = Epochs(), []
    epochs.adopt(_table(1))

    adopt(text, epochs, lambda: rejected.append(text))

    assert epochs.served == 1
    assert rejected == [text]


def test_a_table_of_the_next_version_is_read_without_what_is_new_in_it() -> None:
    epochs = Epochs()

    adopt('{"version": 2, "epoch": 7, "pipeline": "p", "routes": [], "novelty": {"a": 1}}', epochs, lambda: pytest.fail("rejected"))

    assert epochs.served == 7


@settings(deadline=None)
@given(st.lists(st.sampled_from(["adopt", "begin", "end"]), max_size=60))
def test_the_oldest_in_use_is_never_newer_than_a_running_answer(steps: list[str]) -> None:
    epochs, running = Epochs(), []
    epochs.adopt(_table(1))
    for step in steps:
        if step == "adopt":
            epochs.adopt(_table(epochs.served + 1))
        elif step == "begin":
            use = epochs.use()
            running.append((use, use.__enter__().epoch))
        elif running:
            running.pop(0)[0].__exit__(None, None, None)
        assert epochs.oldest_in_use == min([epoch for _, epoch in running], default=epochs.served)
