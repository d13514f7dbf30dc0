"""One way to run programs, one error."""

from __future__ import annotations

import pytest

from cluster.commands import TIMED_OUT, CommandError, last_lines, run, succeeds


def test_standard_output_is_returned_and_input_passed() -> None:
    assert run(["cat"], stdin="through") == "through"


def test_the_error_says_which_command_with_what_status_and_ends_with_its_output() -> None:
    with pytest.raises(CommandError, match=r"(?s)`sh -c .*` \(exit status 3\):.*out\nerr") as caught:
        run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert caught.value.code == 3


def test_a_program_that_takes_too_long_is_the_same_kind_of_error() -> None:
    with pytest.raises(CommandError, match=r"(?s)begun.*not finished after") as caught:
        run(["sh", "-c", "echo begun; exec tail -f /dev/null"], timeout=3)  # enough for a shell to begin on any machine
    assert caught.value.code == TIMED_OUT
    assert not succeeds(["tail", "-f", "/dev/null"], timeout=0.1)


def test_only_the_end_of_a_long_log_is_shown() -> None:
    assert last_lines("\n".join(str(number) for number in range(100)), 3) == "97\n98\n99"
