"""Every command and every file, asked for the words of customers who refused: in their own messages they are nowhere.

One refused before sending (withheld), one's refusal came late (restricted), one's status nobody knows (pending). Each says a marker of their own; the
employee's words to them are theirs too (the pair refuses). A marker in a message that somebody else sent to somebody else stays: it is that one's.
Every command gets what it needs to do its work: files, ids, and a WeCom on this machine that holds more of their words, files of theirs, and takes alerts.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pyrage
import pytest
import typer

from pipeline import clock, schema
from pipeline.cli import root
from pipeline.home import Home
from tests import firm
from tests.firm import CORP, T0, message
from tests.wecom.platform import Platform
from tests.wecom.whole import file_id, wecom

pytestmark = pytest.mark.slow
MARKERS = {"wmEarly": "鲸落甲暗语", "wmLate": "鲸落乙暗语", "wmOdd": "鲸落丙暗语"}
QUOTED = "鲸落丁引用"
OTHERS_FILE = b"a file that may be fetched"
SECRETS = ("archive", "contacts", "app")
# Run in a loop, on a terminal or a port, ask another system, or change keys and settings: they show no messages.
NOT_WALKED = {"access token", "callback serve", "demo", "simulate", "init", "config set", "keyring rotate", "keyring restore", "keys retire"}
# What a command needs to show as much as it can; the others are called as they are.
WORDS: dict[str, list[list[str]]] = {
    "ack": [["pending", "--reason", "walk"]], "alerts send": [[]], "consent decide": [["withhold", "--msgid", "m21", "--reason", "walk"]],
    "consent import": [["OUT/consent.jsonl"]], "consent notice": [["notice_text", "OUT/notice.txt", "--version", "v3"]],
    "hold release": [["HOLD", "--reason", "walk"]], "identity import": [["OUT/links.csv"]], "keys add": [["--version", "2", "--private-key", "OUT/v2.pem"]],
    "lexicon add": [["OUT/words.txt", "--id", "walk"]], "lexicon diff": [["shipped", "home"]], "lexicon remove": [["walk"]],
    "people import": [["OUT/people.jsonl"]], "review claim": [["FINDING"]], "review decide": [["FINDING", "not_violation", "--reason", "walk"]],
    "review import": [["OUT/work.xlsx"]], "scripts import": [["OUT/approved.jsonl"]], "scripts remove": [["a1"]],
    "sql": [["SELECT count(*) AS n FROM messages"], ["SELECT * FROM messages"], ["SELECT * FROM matches_all"], ["SELECT * FROM restricted"], ["SELECT * FROM withheld"]],
    "search": [[m] for m in MARKERS.values()],
    "conversation": [["zhangsan|wmLate"], ["wmLate|zhangsan"], ["lisi|wmOther"], ["zhangsan|wmEarly"]],
    "consent explain": [["m11"], ["m1"], ["m21"]], "customer find": [["wmLate"], ["鲸落"]],
    "approve": [["list"]], "erase": [["--customer", "wmOther", "--dry-run"], ["--customer", "wmOdd", "--dry-run"]],
    "retention set": [["cn.insurance.prospect", "--confirmed-by", "walk"]], "retention unset": [["eu.mifid2", "--reason", "walk"]],
    "retention event": [["account_closed", "--customer", "wmOther", "--on", "2026-01-01", "--source", "walk"]],
    "retention remove": [["--customer", "wmOther", "--dry-run"]], "restricted remove": [["--customer", "wmLate", "--dry-run"]],
    "restricted open": [["--customer", "wmLate", "--matter", "M1"]],
    "audit show": [["coverage"]],
    "audit pack": [["--month", "2026-11", "-o", "OUT/pack"]], "audit report": [["--from", "2026-11-01", "-o", "OUT/report.html"]],
    "ingest": [[]], "rescan": [[], ["--dry-run"]], "reveal": [["m11", "--purpose", "complaint"], ["m50", "--purpose", "complaint"]],
    "export": [
        ["--employee", "lisi", "--matter", "M1", "-o", "OUT/case.zip"], ["--customer", "wmLate", "--matter", "M1", "-o", "OUT/late.zip"],
        ["--query", "OUT/all.sql", "--matter", "M1", "-o", "OUT/all.zip"],
    ],
    "matter open": [["M3", "--title", "walk"]], "matter show": [["M1"]], "matter close": [["M2", "--reason", "walked"]],
    "hold set": [["--matter", "M1", "--reason", "walk", "--customer", "wmLate"]],
    "review export": [["-o", "OUT/work.xlsx", "--state", "all"]], "review sample": [["--seed", "walk", "--count", "50"]], "review list": [["--state", "all"]],
    "verify": [["--archive"]], "keyring backup": [["-o", "OUT/keys.age", "-r", "RECIPIENT"]], "consent list": [[], ["--states"]],
}  # fmt: skip
# What there is nothing to show of.
REFUSED = {"export --customer wmLate": "SCOPE_EMPTY", "reveal m11": "MSGID_UNKNOWN"}
# A hold of the matter covers him: nothing of his can be removed.
HELD = ("restricted remove --customer wmLate",)
AUDIT = {"customer": "wmLate", "employee": "zhangsan", "conversation": "wmLate|zhangsan", "room": "wr1", "days": "7", "department": "1"}


class Told:
    """How a command ended: its exit code and what it wrote."""

    def __init__(self, at: Path, *words: str) -> None:
        out, err = io.StringIO(), io.StringIO()
        root.CALL.reopen()
        with redirect_stdout(out), redirect_stderr(err):
            self.code = root.run(["--home", str(at), *words])
        self.out, self.err = out.getvalue(), err.getvalue()


def liuhen(at: Path, *words: str) -> Told:
    """Run one command in this process."""
    return Told(at, *words)


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name))


def calls() -> Iterator[list[str]]:
    """Every command line of the walk; audits one by one."""
    from pipeline import audit

    yield from (["matter", "open", name, "--title", "walk"] for name in ("M1", "M2"))
    yield ["hold", "set", "--matter", "M2", "--reason", "walk", "--employee", "wangwu"]
    for name in leaves(typer.main.get_command(root.complete())):
        if name == "audit run":
            for found in audit.load_audits():
                needed = [p.name for p in found.meta.parameters if p.name in AUDIT]
                yield ["audit", "run", found.name, *(w for p in needed for w in ("-p", f"{p}={AUDIT[p]}"))]
        elif name not in NOT_WALKED:
            yield from ([*name.split(), *words] for words in WORDS.get(name, [[]]))


def words_of(n: int, who: str, marker: str) -> dict[int, Any]:
    """What one says, hears and sends: seqs n + 1 to n + 3."""
    file = {"sdkfileid": file_id(f"f-{who}"), "md5sum": hashlib.md5(marker.encode()).hexdigest(), "filesize": len(marker.encode()), "filename": f"{marker}.pdf"}
    return {
        n + 1: message(n + 1, f"保本保息 {marker}", sender=who, to=["zhangsan"]), n + 2: message(n + 2, f"{marker} 保证收益", to=[who]),
        n + 3: {**message(n + 3, sender=who, to=["zhangsan"]), "msgtype": "file", "file": file},
    }  # fmt: skip


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A WeCom that holds more of their words and their files, and knows what they decided."""
    told = {seq: item for n, (who, marker) in enumerate(MARKERS.items()) for seq, item in words_of(100 + 10 * n, who, marker).items()}
    file = {"sdkfileid": file_id("f-other"), "md5sum": hashlib.md5(OTHERS_FILE).hexdigest(), "filesize": len(OTHERS_FILE), "filename": "other.pdf"}
    told |= {
        150: message(150, "保本保息", sender="lisi", to=["wmOther"], at_ms=clock.now_ms() - 60_000),
        151: {**message(151, sender="lisi", to=["wmOther"]), "msgtype": "file", "file": file},
    }  # fmt: skip
    files = {**{f"f-{who}": marker.encode() for who, marker in MARKERS.items()}, "f-other": OTHERS_FILE}
    statuses = {"wmEarly": ("Disagree", T0 // 1000), "wmLate": ("Disagree", T0 // 1000), "wmOdd": ("Maybe", T0 // 1000), "wmOther": ("Agree", T0 // 1000)}
    with wecom(
        {seq: firm.item(seq, m) for seq, m in told.items()}, files=files, statuses=statuses, people={"zhangsan": "张三", "lisi": "李四"}, departments={1: "销售部"},
        customers={"wmOther": "客户丁"},
    ) as at:  # fmt: skip
        yield at


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, platform: Platform) -> Iterator[Home]:
    """An archive in which all three said their words, and lisi quotes wmLate's to wmOther; it has a source, secrets and channels."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SECRETS:
            patch.setenv(f"WALK_{name.upper()}", f"s-{name}")
        patch.setenv("WALK_HOOK", f"{platform.url}/hook")
        settings = {f"corp.ww1.{name}_secret": f"env:WALK_{name.upper()}" for name in SECRETS}
        settings |= {"wecom.base_url": platform.url, "corp.ww1.app_agent_id": "7", "alerts.webhook": "env:WALK_HOOK", "alerts.to": '["zhangsan"]'}
        yield filled(tmp_path_factory.mktemp("walk"), settings)


def filled(folder: Path, settings: dict[str, str]) -> Home:
    at = firm.home(folder, settings=settings)
    consent = folder / "early.jsonl"
    said = [{"userid": "zhangsan", "external_userid": w, "status": s, "changed_at": T0 // 1000} for w, s in (("wmEarly", "Disagree"), ("wmOdd", "Maybe"))]
    consent.write_text("".join(json.dumps(line) + "\n" for line in said))
    assert liuhen(at.path, "consent", "import", str(consent)).code in (0, 3)
    told: dict[int, Any] = {}
    for n, (who, marker) in enumerate(MARKERS.items()):
        told |= words_of(10 * n, who, marker)
    told[51] = message(51, "保本保息", sender="lisi", to=["wmOther"])
    told[50] = message(50, f"他说：{QUOTED}", sender="lisi", to=["wmOther"])
    firm.run(at, firm.page(folder, "a.json", told))
    late = folder / "late.jsonl"
    late.write_text(json.dumps({"userid": "zhangsan", "external_userid": "wmLate", "status": "Disagree", "changed_at": T0 // 1000}) + "\n")
    assert liuhen(at.path, "search", MARKERS["wmLate"]).code == 0
    assert liuhen(at.path, "consent", "import", str(late)).code == 0
    (counts,) = firm.rows(at, "select pending, restricted, withheld from counts")
    assert counts == {"pending": 3, "restricted": 3, "withheld": 3}
    return at


def judged(words: list[str], ended: Told) -> str:
    """What is wrong with how a command ended: each must have answered, but for those that say why they do not."""
    line = " ".join(words)
    if line.startswith("restricted open"):  # waits for its second step: nothing is shown before
        return "" if ended.code == 8 and "APPROVAL_NEEDED" in ended.err and not ended.out else f"{line}: {ended.code}, {ended.err[-200:]}"
    refusal = next((code for start, code in REFUSED.items() if line.startswith(start)), None)
    if line.startswith(HELD):
        return "" if ended.code == 8 and "REMOVAL_HELD" in ended.err else f"{line}: {ended.code}, {ended.err[-300:]}"
    if refusal is not None:
        return "" if ended.code == 2 and refusal in ended.err else f"{line}: {ended.code}, {ended.err[-200:]}"
    return "" if ended.code in (0, 3) else f"{line}: {ended.code}, {ended.err[-300:]}"


def operators_files(folder: Path) -> None:
    """What an operator has at hand; no word of a refused customer is in it."""
    (folder / "all.sql").write_text("SELECT origin, seq FROM messages")
    (folder / "consent.jsonl").write_text(json.dumps({"userid": "lisi", "external_userid": "wmOther", "status": "Agree", "changed_at": T0 // 1000}) + "\n")
    (folder / "notice.txt").write_text("本企业依法存档会话内容。")
    (folder / "links.csv").write_text("external_userid,kind,value\nwmOther,policy,P-0001\nwmLate,policy,P-0002\n")
    (folder / "words.txt").write_text("保本\n")
    (folder / "people.jsonl").write_text("".join(json.dumps({"userid": u, "kind": "employee", "name": u, "department": "销售部"}) + "\n" for u in ("zhangsan", "lisi")))
    (folder / "approved.jsonl").write_text(json.dumps({"id": "a1", "approver": "legal", "valid_from": "2026-11-01", "text": "投资有风险，保本保息不可信"}) + "\n")
    (folder / "v2.pem").write_bytes(firm.pem(2))


def given(at: Home, words: list[str], folder: Path, recipient: str) -> list[str]:
    """The words of a call with the ids and places they stand for."""
    asked = {"HOLD": "SELECT hold_id FROM lake_holds WHERE userid = 'wangwu'", "FINDING": "SELECT finding_id FROM matches WHERE msgid = 'm51' LIMIT 1"}
    known = {"RECIPIENT": recipient, **{name: firm.values(at, query)[0] for name, query in asked.items() if name in words}}
    return [known[w] if w in known else w.replace("OUT/", f"{folder}/") for w in words]


def holdings(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and of what is packed in it."""
    data = path.read_bytes()
    yield data
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            yield from (packed.read(name) for name in packed.namelist())


def spelt(marker: str) -> list[bytes]:
    """How a marker could lie in bytes."""
    return [marker.encode(), json.dumps(marker)[1:-1].encode(), marker.encode("utf-16-le"), marker.encode("gb18030")]


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, this test's alone: in the machine's, files of others come and go."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def test_no_command_and_no_file_shows_a_refused_customer_s_words(archive: Home, platform: Platform, tmp_path: Path, temporary: Path) -> None:
    shown, wrong = list[str](), list[str]()
    operators_files(tmp_path)
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    for words in calls():
        ended = liuhen(archive.path, *given(archive, words, tmp_path, recipient))
        asked_for = {m for m in MARKERS.values() if any(m in w for w in words)}
        shown += [f"{' '.join(words)} shows {m}" for m in MARKERS.values() if m not in asked_for and (m in ended.out or m in ended.err)]
        shown += [f"{' '.join(words)} shows a row with {m}" for m in asked_for if m in ended.out and words[0] == "sql"]
        wrong += filter(None, [judged(words, ended)])
    outside = [p for folder in (tmp_path, archive.path, temporary) for p in folder.rglob("*") if p.is_file() and os.access(p, os.R_OK)]
    assert {"case.zip", "all.zip", "work.xlsx", "keys.age"} <= {p.name for p in outside}
    assert any(QUOTED.encode() in data for data in holdings(tmp_path / "case.zip"))
    for path in outside:
        held = list(holdings(path))
        shown += [f"{path.name} holds {m}" for m in MARKERS.values() if any(s in data for data in held for s in spelt(m))]
    sent = json.dumps([(a.path, a.query, a.body) for a in platform.asked], ensure_ascii=False)
    shown += [f"WeCom or the receiver of alerts was told {m}" for m in MARKERS.values() if m in sent]
    assert (shown, wrong) == ([], [])
    worked(archive, platform)


def worked(at: Home, platform: Platform) -> None:
    """The commands reached what they are for: what came of them, by kind."""
    asked = Counter(a.path for a in platform.asked)
    fetched = {a.body["fileid"] for a in platform.asked if a.path == "message/getchatmediadata"}
    assert fetched == {"f-other"}, "a file of theirs was asked for"
    assert min(asked[p] for p in ("message/getchatdata", "msgaudit/check_single_agree", "department/list", "message/send", "/hook")) > 0
    found = firm.rows(at, """
        SELECT (SELECT count(*) FROM pulls WHERE requested_seq IS NOT NULL) AS pages, (SELECT count(*) FROM media WHERE status = 'verified') AS files,
        (SELECT count(*) FROM reviews WHERE decision = 'not_violation') AS reviews, (SELECT count(*) FROM identities) AS links, (SELECT count(*) FROM notices) AS notices,
        (SELECT count(*) FROM lake_holds WHERE phase = 'release') AS released, (SELECT count(*) FROM withheld WHERE msgid = 'm21') AS decided,
        (SELECT count(*) FROM lake_acks) AS acks, (SELECT count(*) FROM messages WHERE seq >= 100) AS pulled
    """)[0]  # fmt: skip
    assert {k: v for k, v in found.items() if v == 0} == {} and (found["files"], found["pulled"], found["links"]) == (1, 2, 2)
    assert {k.version for k in at.enterprise_keys(CORP)} == {1, 2}


def test_search_finds_nothing_of_them_and_everything_of_others(archive: Home) -> None:
    for marker in MARKERS.values():
        assert marker[:3] not in liuhen(archive.path, "search", marker).out
    assert QUOTED in liuhen(archive.path, "search", QUOTED).out


def test_no_readable_row_of_the_archive_holds_them_but_under_keys_of_their_own(archive: Home) -> None:
    home = Home(archive.path)
    lake = home.lake(CORP)
    snapshot = lake.snapshot()
    for kind in schema.KINDS:
        if kind not in ("restricted", "withheld_sealed", "pending_sealed"):
            told = repr(lake.read(kind, snapshot.of(kind)).to_pylist()) if snapshot.of(kind) else ""
            assert [m for m in MARKERS.values() if m in told] == [], kind
