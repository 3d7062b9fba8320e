"""The journal: what was measured is found again, also after a kill; what rests on something else is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_targets.contract.errors import EdgemlError
from peers.measured import Answered, Journal, Made, pack


def made(key: str, seconds: float = 1.0) -> Made:
    return Made(network="net", quantizer="peer", key=key, seconds=seconds)


def test_a_new_journal_finds_what_an_earlier_one_kept(tmp_path: Path) -> None:
    Journal(tmp_path).add(made("a"))

    assert Journal(tmp_path).find(Made, "net", "peer", "a") == made("a")


def test_of_two_with_one_key_the_later_holds_and_other_keys_are_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for line in (made("a", 1.0), made("a", 2.0), made("b", 3.0)):
        journal.add(line)

    assert journal.find(Made, "net", "peer", "a") == made("a", 2.0)
    assert journal.find(Made, "net", "peer") == made("b", 3.0)
    assert journal.find(Made, "net", "peer", "c") is None
    assert journal.find(Made, "net", "other") is None
    assert journal.find(Answered, "net", "peer") is None


def test_a_line_that_a_kill_cut_off_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(made("a"))
    with journal.path.open("ab") as file:
        file.write(b'{"type":"made","network":"ne')

    Journal(tmp_path).add(made("b"))

    again = Journal(tmp_path)
    assert [line.key for line in again if isinstance(line, Made)] == ["a", "b"]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.write_bytes(b"no json\n")
    journal.add(made("a"))

    with pytest.raises(EdgemlError, match="line 1"):
        Journal(tmp_path)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_flags_come_back_from_their_hex(right: list[bool]) -> None:
    line = Answered(
        network="net", entrant="peer", key="a", samples=len(right), size_bytes=1, right=pack(np.array(right))
    )

    assert line.flags.tolist() == right
