"""Every command and every file, asked for the words of customers who refused: in their own messages they are nowhere.

One refused before sending (withheld), one's refusal came late (restricted), one's status nobody knows (pending). Each says a marker of their own; the
employee's words to them are theirs too (the pair refuses). A marker in a message that somebody else sent to somebody else stays: it is that one's.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pyrage
import pytest
import typer

from pipeline import schema
from pipeline.cli import root
from pipeline.home import Home
from tests import firm
from tests.firm import CORP, T0, message

pytestmark = pytest.mark.slow
MARKERS = {"wmEarly": "鲸落甲暗语", "wmLate": "鲸落乙暗语", "wmOdd": "鲸落丙暗语"}
QUOTED = "鲸落丁引用"
FILE = {"sdkfileid": "sdk", "md5sum": "0" * 32, "filesize": 3}
# Run in a loop, on a terminal or a port, ask another system, or change keys and settings: they show no messages.
NOT_WALKED = {"access token", "callback serve", "demo", "simulate", "init", "config set", "keyring rotate", "keyring restore", "keys retire"}
# Take a file or an id of the operator's and say how many lines they took: called without, they must say what they lack.
LACKING = {
    "ack", "consent decide", "consent import", "consent notice", "hold release", "identity import", "keys add", "lexicon add", "lexicon diff",
    "lexicon remove", "people import", "review claim", "review decide", "review import", "scripts import", "scripts remove",
}  # fmt: skip
# What a command needs to show as much as it can; the others are called as they are.
WORDS: dict[str, list[list[str]]] = {
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
# What a home without a source, a secret or an alert channel says, and what there is nothing to show of.
REFUSED = {
    "alerts send": "ALERTS_OFF", "alerts test": "ALERTS_OFF", "consent sync": "SECRET_FORM", "directory sync": "SECRET_FORM", "media fetch": "LIBRARY_NOT_SET",
    "pull": "LIBRARY_NOT_SET", "doctor": "", "export --customer wmLate": "SCOPE_EMPTY", "reveal m11": "MSGID_UNKNOWN",
}  # fmt: skip
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
    for name in leaves(typer.main.get_command(root.complete())):
        if name == "audit run":
            for found in audit.load_audits():
                needed = [p.name for p in found.meta.parameters if p.name in AUDIT]
                yield ["audit", "run", found.name, *(w for p in needed for w in ("-p", f"{p}={AUDIT[p]}"))]
        elif name not in NOT_WALKED:
            yield from ([*name.split(), *words] for words in WORDS.get(name, [[]]))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An archive in which all three said their words, and lisi quotes wmLate's to wmOther."""
    folder = tmp_path_factory.mktemp("walk")
    at = firm.home(folder)
    consent = folder / "early.jsonl"
    said = [{"userid": "zhangsan", "external_userid": w, "status": s, "changed_at": T0 // 1000} for w, s in (("wmEarly", "Disagree"), ("wmOdd", "Maybe"))]
    consent.write_text("".join(json.dumps(line) + "\n" for line in said))
    assert liuhen(at.path, "consent", "import", str(consent)).code in (0, 3)
    told: dict[int, Any] = {}
    for n, (who, marker) in enumerate(MARKERS.items()):
        told |= {
            10 * n + 1: message(10 * n + 1, f"保本保息 {marker}", sender=who, to=["zhangsan"]), 10 * n + 2: message(10 * n + 2, f"{marker} 保证收益", to=[who]),
            10 * n + 3: {**message(10 * n + 3, sender=who, to=["zhangsan"]), "msgtype": "file", "file": {**FILE, "filename": f"{marker}.pdf"}},
        }  # fmt: skip
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
    refusal = next((code for start, code in REFUSED.items() if line.startswith(start)), None)  # doctor tells in rows
    if line.startswith(HELD):
        return "" if ended.code == 8 and "REMOVAL_HELD" in ended.err else f"{line}: {ended.code}, {ended.err[-300:]}"
    if line in LACKING or refusal is not None:
        return "" if ended.code == 2 and (refusal or "") in ended.err else f"{line}: {ended.code}, {ended.err[-200:]}"
    return "" if ended.code in (0, 3) else f"{line}: {ended.code}, {ended.err[-300:]}"


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


def test_no_command_and_no_file_shows_a_refused_customer_s_words(archive: Home, tmp_path: Path) -> None:
    shown, wrong = list[str](), list[str]()
    (tmp_path / "all.sql").write_text("SELECT origin, seq FROM messages")
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    before = set(Path(tempfile.gettempdir()).iterdir())
    for words in calls():
        ended = liuhen(archive.path, *[recipient if w == "RECIPIENT" else w.replace("OUT/", f"{tmp_path}/") for w in words])
        given = {m for m in MARKERS.values() if any(m in w for w in words)}
        shown += [f"{' '.join(words)} shows {m}" for m in MARKERS.values() if m not in given and (m in ended.out or m in ended.err)]
        shown += [f"{' '.join(words)} shows a row with {m}" for m in given if m in ended.out and words[0] == "sql"]
        wrong += filter(None, [judged(words, ended)])
    outside = [p for p in [*tmp_path.rglob("*"), *archive.path.rglob("*"), *(set(Path(tempfile.gettempdir()).iterdir()) - before)] if p.is_file() and os.access(p, os.R_OK)]
    assert {"case.zip", "all.zip", "work.xlsx", "keys.age"} <= {p.name for p in outside}
    assert any(QUOTED.encode() in data for data in holdings(tmp_path / "case.zip"))
    for path in outside:
        held = list(holdings(path))
        shown += [f"{path.name} holds {m}" for m in MARKERS.values() if any(s in data for data in held for s in spelt(m))]
    assert (shown, wrong) == ([], [])


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
