"""Alerts as values: ids, what a webhook gets, what a person reads, the signature."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.alerts import alert
from pipeline.alerts.alert import Alert, Batch, batch_id
from pipeline.alerts.channels import signature
from pipeline.alerts.gather import first_day, months_between
from pipeline.alerts.queue import Told
from pipeline.config import Alerts


def one(n: int = 1, **more: Any) -> Alert:
    told = {
        "finding_id": f"f{n}", "origin": "sealed", "seq": n, "msgid": f"m{n}", "dt": "2026-11-20", "rule_id": "c01-guarantee", "category": "C01", "severity": "high",
        "title_zh": "承诺收益", "title_en": "promise of return", "employee_id": "zhangsan",
    }  # fmt: skip
    return msgspec.convert({**told, **more}, Alert)


def batch(*alerts: Alert, **more: Any) -> Batch:
    return Batch(id="b" * 32, corp_id="ww1", made_ms=1_795_140_000_000, alerts=alerts, **more)


def test_a_batch_is_called_the_same_whatever_the_order_of_its_findings() -> None:
    assert batch_id("ww1", [one(1), one(2)]) == batch_id("ww1", [one(2), one(1)])
    assert len({batch_id("ww1", [one(1)]), batch_id("ww2", [one(1)]), batch_id("ww1", [one(2)])}) == 3


def test_a_webhook_gets_no_text_no_customer_and_no_conversation() -> None:
    assert alert.body(batch(one())) == {
        "version": 1, "id": "b" * 32, "corp_id": "ww1", "made_at": "2026-11-20T02:00:00.000Z", "test": False, "count": 1,
        "alerts": [
            {
                "finding_id": "f1", "origin": "sealed", "seq": 1, "msgid": "m1", "dt": "2026-11-20", "rule_id": "c01-guarantee", "category": "C01", "severity": "high",
                "employee_id": "zhangsan", "employee_name": None, "title": {"zh": "承诺收益", "en": "promise of return"},
            }
        ],
    }  # fmt: skip


def test_the_words_found_come_along_when_they_were_asked_for() -> None:
    assert alert.body(batch(one(words="保本保息")))["alerts"][0]["words"] == "保本保息"


def test_a_person_reads_what_is_most_frequent_and_how_much_more_there_is() -> None:
    many = [one(n) for n in range(3)] + [one(10 + n, employee_id=f"e{n}") for n in range(12)]
    lines = alert.text(batch(*many), "zh").splitlines()
    assert lines[0] == "留痕 ww1：新增 15 条需要处理的命中"
    assert lines[1] == "2026-11-20 zhangsan 承诺收益 (c01-guarantee) ×3"
    assert "2026-11-20 张三 zhangsan 承诺收益 (c01-guarantee)" in alert.text(batch(one(1, employee_name="张三")), "zh")
    assert len(lines) == 13 and lines[11] == "另有 3 条"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_what_a_person_reads_fits_into_an_application_message(lang: Any) -> None:
    long = [one(n, title_zh="长" * 200, title_en="long" * 150, employee_id=f"员工{n}") for n in range(50)]
    told = alert.text(batch(*long), lang)
    assert len(told.encode()) <= 2048
    assert "50" in told.splitlines()[0]


def test_the_signature_is_hmac_sha256_over_time_and_body() -> None:
    # printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
    assert signature(b'{"a":1}', "secret", seconds=1_700_000_000) == "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"


@pytest.mark.parametrize(
    ("looked_from", "first"),
    [
        pytest.param("", "2026-11-15", id="never looked: the last seven days"),
        pytest.param("2026-11-14", "2026-11-14", id="looked yesterday: from where that look began"),
        pytest.param("2026-10-01", "2026-10-01", id="did not run for weeks: made up for"),
        pytest.param("2026-11-20", "2026-11-15", id="a clock that ran ahead"),
    ],
)
def test_a_look_takes_in_what_no_look_has_seen(looked_from: str, first: str) -> None:
    noon = 1_795_320_000_000  # 2026-11-22 12:00 in Beijing
    assert first_day(Alerts(), Told(looked_from=looked_from), noon).isoformat() == first


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        pytest.param("2026-11-01", "2026-11-30", ["2026-11"], id="one month"),
        pytest.param("2026-11-30", "2027-01-01", ["2026-11", "2026-12", "2027-01"], id="over the year's end"),
        pytest.param("2026-12-31", "2027-01-01", ["2026-12", "2027-01"], id="two days, two months"),
    ],
)
def test_the_months_that_days_fall_in(first: str, last: str, months: list[str]) -> None:
    from datetime import date

    assert months_between(date.fromisoformat(first), date.fromisoformat(last)) == months
