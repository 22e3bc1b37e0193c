"""A small firm whose whole story is typed here: three employees, four customers, eleven days of November 2026. What the audits must answer is typed beside it (answers/).

Before: ../firm.py (keys, sealing). After: test_answers.py, ../reports/, screenshots.

    zhangsan 张三   朝阳支行 until 9 November, 海淀支行 from then on; hands wmA over to lisi on 16 November
    lisi     李四   海淀支行
    wangwu   王五   朝阳支行; has no seat
    wmA 陈一, wmB 赵二, wmC 孙三: agree by default; wmR refused lisi before he wrote; wmP: nobody can read what WeCom says of him
    wr1: a room of lisi, wangwu and wmB
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import clock, ingest, schema
from pipeline.home import Home
from pipeline.source.media_fetch import Fetch
from tests import firm
from tests.cli.inside import Answer
from tests.firm import CORP, item, page, recall
from tests.source.fake import Fake


def at(text: str) -> int:
    """Milliseconds of a Beijing time of November 2026, `20 09:30`."""
    day, time = text.split()
    return round(datetime.fromisoformat(f"2026-11-{day}T{time}+08:00").astimezone(UTC).timestamp() * 1000)


NOW = at("20 18:00")  # when everything is brought in
RED = {"msgtype": "external_redpacket", "external_redpacket": {"type": 1, "wish": "恭喜发财", "totalcnt": 1, "totalamount": 6600}}


def png(width: int = 120, height: int = 80) -> bytes:
    """A picture: red above, blue below."""
    rows = b"".join(b"\0" + (b"\xc0\x20\x20" if y < height // 2 else b"\x20\x20\xc0") * width for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


SEEN = png()
PICTURE = {"msgtype": "image", "image": {"sdkfileid": "sdk-1", "md5sum": hashlib.md5(SEEN).hexdigest(), "filesize": len(SEEN)}}
# seq: when, who, to whom, room, words, other fields
SAID: dict[int, tuple[str, str, list[str], str, str, dict[str, Any]]] = {
    1: ("02 09:00", "wmA", ["zhangsan"], "", "您好，在吗", {}),
    2: ("02 09:05", "zhangsan", ["wmA"], "", "在的，这款保本保息", {}),
    3: ("02 21:30", "zhangsan", ["wmA"], "", "您早点休息", {}),
    4: ("03 10:00", "lisi", ["wmB"], "", "这款保本保息", {}),
    5: ("04 10:00", "lisi", ["wmB"], "", "补充一句，投资有风险", {}),
    6: ("05 10:00", "wmB", ["lisi"], "", "那怎么投保呢", {}),
    7: ("07 11:00", "lisi", ["wmB"], "", "投保之前先看犹豫期和责任免除", {}),
    8: ("10 09:00", "zhangsan", ["wmA"], "", "您把保费转账给我就行", {}),
    10: ("10 09:30", "zhangsan", ["wmA"], "", "", RED),
    11: ("11 10:00", "zhangsan", ["wmA"], "", "周末有空来网点坐坐吧", {}),
    12: ("11 10:01", "zhangsan", ["wmC"], "", "周末有空来网点坐坐吧", {}),
    13: ("11 10:02", "wmC", ["zhangsan"], "", "", PICTURE),
    14: ("12 15:00", "wmB", ["lisi", "wangwu"], "wr1", "大家好", {}),
    15: ("12 15:01", "wangwu", ["lisi", "wmB"], "wr1", "您好", {}),
    16: ("13 09:00", "wangwu", ["lisi"], "", "下午开会", {}),
    17: ("13 10:00", "wmR", ["lisi"], "", "我不想被存档", {}),
    18: ("13 11:00", "wmP", ["lisi"], "", "请问利率多少", {}),
    20: ("17 10:00", "lisi", ["wmA"], "", "您好，我是李四，以后由我服务您", {}),
    21: ("18 10:00", "zhangsan", ["wmA"], "", "还是来找我吧，这款保本保息", {}),
    22: ("18 10:05", "wmA", ["zhangsan"], "", "好的", {}),
}
PEOPLE = [
    {"userid": "zhangsan", "kind": "employee", "name": "张三", "department": "朝阳支行", "valid_to": "2026-11-09T00:00:00+08:00"},
    {"userid": "zhangsan", "kind": "employee", "name": "张三", "department": "海淀支行", "valid_from": "2026-11-09T00:00:00+08:00"},
    {"userid": "lisi", "kind": "employee", "name": "李四", "department": "海淀支行"}, {"userid": "wangwu", "kind": "employee", "name": "王五", "department": "朝阳支行"},
    *({"userid": who, "kind": "external", "name": name} for who, name in (("wmA", "陈一"), ("wmB", "赵二"), ("wmC", "孙三"), ("wmR", "周四"), ("wmP", "吴五"))),
]  # fmt: skip
CONSENT = [
    {"userid": "lisi", "external_userid": "wmR", "status": "Disagree", "changed_at": at("01 08:00") // 1000},
    {"userid": "lisi", "external_userid": "wmP", "status": "Perhaps", "changed_at": at("01 08:00") // 1000},
    {"userid": "lisi", "external_userid": "wmB", "status": "Agree", "changed_at": at("01 08:00") // 1000},
]
# day: who had a seat
SEATS = {10: ("zhangsan", "lisi"), 12: ("zhangsan", "lisi")}
# (day, employee): single chats and messages as WeCom counts them
COUNTED = {(10, "zhangsan"): (1, 3), (11, "zhangsan"): (2, 2), (13, "wangwu"): (0, 0)}


def made(folder: Path, monkeypatch: Any) -> Home:
    """The firm's home, everything brought in at NOW: the clock stands still meanwhile."""
    monkeypatch.setattr(clock, "now_ms", lambda: NOW)
    home = firm.home(folder)
    _write(folder / "people.jsonl", PEOPLE)
    _write(folder / "consent.jsonl", CONSENT)
    for call in (["people", "import", str(folder / "people.jsonl")], ["consent", "import", str(folder / "consent.jsonl")]):
        assert Answer(home, *call).code in (0, 3)
    bring(home)
    firm.run(home, page(folder, "november.json", [*records(), unopened()]))
    source = Fake()
    source.files["sdk-1"] = SEEN
    assert Fetch(home, CORP, source).run().verified == 1
    [first] = firm.rows(home, "SELECT finding_id FROM matches WHERE seq = 4")
    assert Answer(home, "review", "decide", first["finding_id"], "violation", "--reason", "明确承诺保本").code == 0
    return home


def records() -> list[bytes]:
    """The sealed records of the story: what was said, a recall of 8 a minute later, a message whose time is impossible, the first one once more."""
    told = {seq: _message(seq) for seq in SAID}
    told[9] = recall(9, of="m8") | {"msgtime": at("10 09:01")}
    told[19] = firm.message(19, "时间不明的一句", sender="zhangsan", to=["wmC"], at_ms=1)
    told[23] = told[1]
    return [item(seq, told[seq]) for seq in sorted(told)]


def unopened() -> bytes:
    """A record sealed under a key nobody has brought."""
    return item(24, firm.message(24, "以后再读"), version=2)


def bring(home: Home) -> None:
    """Seats, statistics and the handover, as the directory's sync would write them."""
    seats = [(_day(n), who) for n, people in SEATS.items() for who in people]
    counted = [(_day(n), who, *counts) for (n, who), counts in COUNTED.items()]
    _append(home, "seats", {"day": [d for d, _ in seats], "userid": [w for _, w in seats], "edition": [1] * len(seats)})
    _append(home, "behaviour", {name: [row[n] for row in counted] for n, name in enumerate(("day", "userid", "chats", "messages"))})
    passed = {"external_userid": "wmA", "from_userid": "zhangsan", "to_userid": "lisi", "valid_from": at("16 00:00"), "valid_to": None, "source": "contacts", "state": "done"}
    _append(home, "handovers", {**{k: [v] for k, v in passed.items()}, "recorded_at": [NOW]})


def _day(n: int) -> int:
    return clock.beijing_day(at(f"{n:02} 12:00"))


def _append(home: Home, kind: str, columns: dict[str, list[Any]]) -> None:
    rows = len(next(iter(columns.values())))
    if kind in ("seats", "behaviour"):
        columns["asked_at"] = [NOW] * rows
    ingest.append(home, CORP, [(kind, schema.table(kind, columns))], what=kind)


def _message(seq: int) -> dict[str, Any]:
    when, who, to, room, words, more = SAID[seq]
    return firm.message(seq, words, sender=who, to=to, room=room, at_ms=at(when), **more)


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
