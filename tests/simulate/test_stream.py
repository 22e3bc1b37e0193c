"""Pages of the sealed sequence: exclusive, inside the window, whole."""

from __future__ import annotations

import pytest

from pipeline.simulate.stream import DAY_MS, Sealed, Stream

DAYS = (1, 2, 3, 4, 6, 8)


def stream(places: dict[int, int] | None = None) -> Stream:
    """Records by seq, each with the day it arrived."""
    made = Stream(window_ms=5 * DAY_MS)
    made.add(Sealed(seq, day * DAY_MS, str(seq).encode()) for seq, day in (places or dict(zip((10, 11, 15, 20, 21, 30), DAYS, strict=True))).items())
    return made


@pytest.mark.parametrize(
    ("seq", "limit", "day", "expected"),
    [
        pytest.param(0, 1000, 4, [10, 11, 15, 20], id="from the beginning; what has not arrived is not there"),
        pytest.param(10, 1000, 4, [11, 15, 20], id="seq is exclusive"),
        pytest.param(12, 1000, 4, [15, 20], id="a seq that no record has"),
        pytest.param(0, 2, 4, [10, 11], id="limit"),
        pytest.param(20, 1000, 4, [], id="nothing new"),
        pytest.param(10**19, 1000, 4, [], id="a seq far ahead"),
        pytest.param(0, 1000, 8, [15, 20, 21, 30], id="three days old is inside a window of five"),
        pytest.param(0, 1000, 9, [20, 21, 30], id="a seq that is too old begins at the first record inside"),
        pytest.param(0, 1000, 14, [], id="all have left the window"),
    ],
)
def test_a_page_holds(seq: int, limit: int, day: int, expected: list[int]) -> None:
    assert [int(i) for i in stream().page(seq, limit, day * DAY_MS)] == expected


def test_a_record_leaves_the_window_after_exactly_that_long() -> None:
    edge = stream({1: 1})
    assert edge.page(0, 10, 6 * DAY_MS) == [b"1"]
    assert edge.page(0, 10, 6 * DAY_MS + 1) == []


def test_two_records_of_one_seq_are_never_parted_by_the_end_of_a_page() -> None:
    made = Stream()
    made.add(Sealed(seq, 0, name) for seq, name in ((1, b"a"), (2, b"b"), (2, b"c"), (3, b"d")))
    assert made.page(0, 2, 1) == [b"a"]
    assert made.page(1, 2, 1) == [b"b", b"c"]
    assert made.page(0, 3, 1) == [b"a", b"b", b"c"]


def test_seqs_do_not_fall_and_arrivals_are_brought_in_order() -> None:
    made = stream({5: 3})
    with pytest.raises(ValueError, match="fall"):
        made.add([Sealed(4, DAY_MS * 4, b"")])
    made.add([Sealed(6, 1, b"late")])
    assert made.page(0, 10, 2 * DAY_MS) == []
    assert made.waiting(0, 3 * DAY_MS) == 2
