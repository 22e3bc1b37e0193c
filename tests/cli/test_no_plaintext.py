"""Nothing readable outside what was asked for: every file the program writes and every line it tells is searched for planted words.

Planted are words in every place where content enters: texts, file names, forwarded records, a record that fails after it was opened,
withheld and pending ones, imports, people, departments, keyword lists, consent lines, private keys, a passphrase, and what a WeCom on this machine
tells: records, a file, the directory, callbacks; the secrets it is asked with too. All commands run in one process of their own, whose home folder,
folder for temporary files and working folder are watched; what WeCom and the receiver of alerts are told is searched as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline import clock
from pipeline.wecom import callback_codec
from tests import firm, ports
from tests.cli.liuhen import ROOT
from tests.firm import T0, item, message, refusal
from tests.wecom.platform import Platform
from tests.wecom.whole import file_id, wecom

# name: the word, unlike any other
WORDS = {
    name: f"秘{n:02d}{name}7qx暗语"
    for n, name in enumerate((
        "text", "filename", "nested", "deep", "withheld", "pending", "imported", "unreadable", "link", "latekey", "recalled",
        "name", "department", "term", "packterm", "passphrase", "badpeople", "badconsent", "badpack", "query", "parameter",
        "number", "badlink", "searched", "reason", "title", "purpose", "approved", "pulled", "pulledfile", "media", "member", "unit", "contact", "event",
    ))
}  # fmt: skip
CUSTOMERS = {name: f"wm7qxCustomer{name}" for name in ("Open", "Refused", "Waiting", "Imported", "Consent", "Pulled", "Called")}
# What the settings name by reference: asked of WeCom with, found nowhere else.
SECRETS = {name: f"7qx-{name}-secret-of-the-firm" for name in ("archive", "contacts", "app", "hook", "signing")}
CALLBACK_TOKEN, CALLBACK_KEY = "7qxCallbackToken", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
RUNNER = """
import io, json, os, signal, sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
out, calls = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
kill_at = sys.argv[3] if len(sys.argv) > 3 else ""
sys.argv = ["liuhen"]
from pipeline.cli import root
if kill_at:
    link = os.link
    def killed(source, target, **more):
        link(source, target, **more)
        if str(target).endswith(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
    os.link = killed
def called():  # calls back as WeCom does, as soon as somebody listens; then ends the listening
    import http.client, time
    for path, body in json.loads(Path(os.environ["CALLBACKS"]).read_text()):
        for _ in range(6_000):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["CALLBACK_PORT"]), timeout=300)
                connection.request("POST", path, body.encode())
                connection.getresponse().read()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
codes = []
for n, words in enumerate(calls):
    if words[-2:] == ["callback", "serve"]:
        import threading
        threading.Thread(target=called).start()
    with open(out / f"{n:02d}.out", "w") as told, open(out / f"{n:02d}.err", "w") as said:
        os.dup2(told.fileno(), 1), os.dup2(said.fileno(), 2)
        root.CALL.reopen()  # as a process of its own would: settings are read anew
        codes.append(root.run(words))
        sys.stdout.flush(), sys.stderr.flush()
(out / "codes").write_text(json.dumps(codes))
"""


# --- how a word may be written ---


def writings(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Ways in which bytes may lie in a file."""
    yield "as it is", data
    yield "hex", data.hex().encode()
    yield "HEX", data.hex().upper().encode()
    for shift in range(3):
        # Without the characters that the neighbours share.
        encoded = base64.b64encode(bytes(shift) + data)
        whole = encoded[(shift * 8 + 5) // 6 : (shift + len(data)) * 8 // 6]
        yield f"base64+{shift}", whole
        yield f"urlsafe base64+{shift}", whole.replace(b"+", b"-").replace(b"/", b"_")


def text_writings(word: str) -> Iterator[tuple[str, bytes]]:
    """Ways in which a word may be written."""
    yield from writings(word.encode())
    yield "UTF-16LE", word.encode("utf-16-le")
    yield "UTF-16BE", word.encode("utf-16-be")
    yield "GB18030", word.encode("gb18030")
    yield "percent", quote(word).encode()
    yield "percent, lower case", quote(word).lower().encode()
    if not word.isascii():
        yield "escaped", json.dumps(word).strip('"').encode()
        yield "ESCAPED", json.dumps(word).strip('"').upper().replace("\\U", "\\u").encode()


def found_in(data: bytes, needles: Iterable[tuple[str, str, bytes]]) -> list[str]:
    return [f"{name} ({how})" for name, how, needle in needles if needle in data]


def test_every_way_of_writing_is_found_by_the_search_itself() -> None:
    for word in ("秘密7qx", "wm7qxCustomer"):
        for how, needle in text_writings(word):
            assert len(needle) >= len(word), how
        padded = [base64.b64encode(b"x" * n + word.encode() + b"yz") for n in range(3)]
        hits = [sum(needle in p for how, needle in text_writings(word) if how.startswith("base64")) for p in padded]
        assert hits == [1, 1, 1]


# --- what is planted ---


def nested(depth: int, word: str) -> bytes:
    """A message deeper than is read, as JSON."""
    return b'{"msgid":"m6","msgtype":"text","text":{"content":"%s"},"x":%s1%s}' % (word.encode(), b"[" * depth, b"]" * depth)


def plant(folder: Path) -> dict[str, Path]:
    """Write the operator's files; they are not watched."""
    open_, refused, waiting = CUSTOMERS["Open"], CUSTOMERS["Refused"], CUSTOMERS["Waiting"]
    forwarded = {"title": "聊天记录", "item": [{"type": "ChatRecordText", "content": json.dumps({"content": WORDS["nested"]}), "from_chatroom": False}]}
    body = {
        1: message(1, f"保本保息 {WORDS['text']} 13800138000", to=[open_]),
        2: message(2, to=[open_], msgtype="file", file={"filename": f"{WORDS['filename']}.docx", "fileext": "docx", "filesize": 3, "sdkfileid": "f", "md5sum": "0"}),
        3: message(3, to=[open_], msgtype="chatrecord", chatrecord=forwarded),
        4: refusal(4, refused, at_ms=T0 + 1),
        5: message(5, f"保本 {WORDS['withheld']}", to=[refused]),
        7: message(7, f"保本 {WORDS['pending']}", to=[waiting]),
        8: message(8, to=[open_], msgtype="link", link={"title": WORDS["link"], "description": "d", "link_url": f"https://x.example/{WORDS['link']}"}),
        9: message(9, WORDS["recalled"], to=[open_]),
    }  # fmt: skip
    items = [item(seq, m) for seq, m in body.items()]
    items += [item(6, nested(100, WORDS["deep"]), msgid="m6"), item(10, message(10, WORDS["latekey"], to=[open_]), version=2)]
    firm.page(folder, "page.json", items)
    lines = [json.dumps({"seq": 1, "message": message(20, f"{WORDS['imported']} 保本", to=[CUSTOMERS["Imported"]])}, ensure_ascii=False), f"{WORDS['unreadable']} {{"]
    people = [{"userid": "zhangsan", "name": WORDS["name"], "department": WORDS["department"]}, {"userid": open_, "kind": "external", "name": WORDS["name"]}]
    consent = [
        {"userid": "zhangsan", "external_userid": waiting, "status": WORDS["badconsent"], "changed_at": T0 // 1000 - 60},
        {"userid": "zhangsan", "external_userid": CUSTOMERS["Consent"], "status": "Disagree", "changed_at": T0 // 1000},
    ]
    files = {
        "plain.jsonl": "\n".join(lines), "people.jsonl": "\n".join(map(json.dumps, people)), "consent.jsonl": "\n".join(map(json.dumps, consent)),
        "links.csv": f"external_userid,kind,value\n{open_},policy,{WORDS['number']}\n", "bad-links.csv": f"external_userid,kind,value\n{open_},{WORDS['badlink']},1\n",
        "approved.jsonl": json.dumps({"id": "a1", "approver": "legal", "valid_from": "2026-11-01", "text": f"经审批的话术：{WORDS['approved']}"}, ensure_ascii=False),
        "words.txt": WORDS["term"] + "\n", "bad-people.jsonl": json.dumps({"userid": "", "name": WORDS["badpeople"]}),
        "bad-consent.jsonl": f"{WORDS['badconsent']} {{", "bad-pack.yaml": f"rules: [{WORDS['badpack']}: {{",
        "worse-pack.yaml": f"pack: {{id: x}}\nrules:\n  - {WORDS['badpack']}\n", "bad-key.pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "v1.pem").write_bytes(firm.pem(1))
    locked = ser.BestAvailableEncryption(WORDS["passphrase"].encode())
    (folder / "v2.pem").write_bytes(firm.private_key(2).private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, locked))
    return {p.name: p for p in folder.iterdir()}


def secrets_of(key: rsa.RSAPrivateKey) -> Iterator[bytes]:
    """The secret numbers of a private key, as they lie in DER, and a line of its PEM."""
    numbers = key.private_numbers()
    for secret in (numbers.p, numbers.q, numbers.d):
        yield secret.to_bytes((secret.bit_length() + 7) // 8)[8:56]
    for shape in (ser.PrivateFormat.PKCS8, ser.PrivateFormat.TraditionalOpenSSL):
        yield key.private_bytes(ser.Encoding.PEM, shape, ser.NoEncryption()).splitlines()[8]


def needles() -> list[tuple[str, str, bytes]]:
    secrets = {**SECRETS, "callback token": CALLBACK_TOKEN, "callback key": CALLBACK_KEY}
    found = [(name, how, needle) for name, word in {**WORDS, **CUSTOMERS, **secrets}.items() for how, needle in text_writings(word)]
    for version in (1, 2):
        found += [(f"private key {version}", how, needle) for part in secrets_of(firm.private_key(version)) for how, needle in writings(part)]
    return found


# --- what is run ---


class Played:
    """What was run in one process, and what it wrote and told."""

    def __init__(self, folder: Path, calls: list[list[str]], *, kill_at: str = "", more: dict[str, str] | None = None) -> None:
        self.calls, self.home = calls, folder / "home"
        self.told = folder / "told"
        self.watched = [folder / name for name in ("home", "tmp", "cwd", "user")]
        for path in (self.told, *self.watched[1:]):
            path.mkdir(exist_ok=True)
        script = folder / "calls.json"
        script.write_text(json.dumps([["--home", str(self.home), *words] for words in calls]))
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("LIUHEN_", "XDG_", "TMP", "TEMP"))}
        environ = {
            **keep, "PYTHONPATH": str(ROOT), "LIUHEN_LANG": "en", "TMPDIR": str(folder / "tmp"), "HOME": str(folder / "user"), "PYTHONDONTWRITEBYTECODE": "1",
            "SECRET_WORD": WORDS["passphrase"], "WRONG_WORD": WORDS["passphrase"] + "x", "CALLBACK_TOKEN": CALLBACK_TOKEN, "CALLBACK_KEY": CALLBACK_KEY,
            **{f"SECRET_{name.upper()}": secret for name, secret in SECRETS.items()}, **(more or {}),
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-c", RUNNER, str(self.told), str(script), kill_at], env=environ, cwd=folder / "cwd", capture_output=True, timeout=1_800, check=False
        )
        self.code, self.err = ended.returncode, ended.stderr

    @property
    def codes(self) -> list[int]:
        found: list[int] = json.loads((self.told / "codes").read_text())
        return found

    def out(self, n: int) -> str:
        return (self.told / f"{n:02d}.out").read_text("utf-8")

    def written(self) -> Iterator[tuple[str, bytes]]:
        """Everything written, names included; stdout only of commands that were not asked for content."""
        for top in self.watched:
            for path in top.rglob("*"):
                yield f"the name of {path.relative_to(top.parent)}", str(path.relative_to(top.parent)).encode()
                if path.is_file():
                    yield str(path.relative_to(top.parent)), path.read_bytes()
        for n, words in enumerate(self.calls):
            for kind in ("err",) if words[0] in ASKS or " ".join(words[:2]) in ASKS else ("err", "out"):
                path = self.told / f"{n:02d}.{kind}"
                if path.exists():
                    yield f"{kind} of {words[:2]}", path.read_bytes()
        yield "stderr", self.err


ASKS = (
    "sql", "conversation", "audit", "lexicon", "search", "customer", "review", "reveal", "consent list", "consent explain", "matter", "hold",
    "scripts list", "media list", "access review", "approve",
)  # fmt: skip


def leaks(played: Played) -> list[str]:
    wanted = needles()
    found = [f"{where}: {hit}" for where, data in played.written() for hit in found_in(data, wanted)]
    # What is wrong with a query is told in the words of the query, to the one who typed it, and nowhere else.
    return [f for f in found if not (f.startswith("err of ['sql'") and f.endswith("query (as it is)"))]


def asking(url: str, port: int) -> list[tuple[list[str], int]]:
    """Everything that asks WeCom, is called by it, or tells somebody."""
    settings = {
        "wecom.base_url": url, "callback.port": str(port), "callback.max_age_s": "86400", "alerts.webhook": "env:SECRET_HOOK",
        "alerts.webhook_secret": "env:SECRET_SIGNING", "alerts.to": '["zhangsan"]',
        "corp.ww1.archive_secret": "env:SECRET_ARCHIVE", "corp.ww1.contacts_secret": "env:SECRET_CONTACTS", "corp.ww1.app_secret": "env:SECRET_APP",
        "corp.ww1.app_agent_id": "7", "corp.ww1.callback_token": "env:CALLBACK_TOKEN", "corp.ww1.callback_aes_key": "env:CALLBACK_KEY",
    }  # fmt: skip
    words = ["doctor", "callback serve", "pull", "directory sync", "ingest", "consent sync", "media fetch", "alerts test", "alerts send", "alerts list", "doctor", "run", "status"]
    # A record of before waits and nobody has acknowledged it; a status that nobody knows came.
    ends = {"ingest": 3, "run": 3, "consent sync": 3}
    return [(["config", "set", *setting], 0) for setting in settings.items()] + [(w.split(), ends.get(w, 0)) for w in words]


def told_by_wecom() -> AbstractContextManager[Platform]:
    """What WeCom tells: a serious finding, a file, the directory, an unknown status."""
    pulled, data = CUSTOMERS["Pulled"], WORDS["media"].encode() * 3
    file = {"filename": f"{WORDS['pulledfile']}.docx", "fileext": "docx", "filesize": len(data), "sdkfileid": file_id("f1"), "md5sum": hashlib.md5(data).hexdigest()}
    records = {
        101: message(101, f"保本保息 {WORDS['pulled']}", to=[pulled], at_ms=clock.now_ms() - 60_000), 102: message(102, to=[pulled], msgtype="file", file=file),
    }  # fmt: skip
    return wecom(
        {seq: item(seq, m) for seq, m in records.items()}, files={"f1": data}, people={"zhangsan": WORDS["member"]}, departments={1: WORDS["unit"]},
        customers={pulled: WORDS["contact"]}, statuses={pulled: ("Agree", T0 // 1000), CUSTOMERS["Open"]: (WORDS["badconsent"], T0 // 1000)},
    )  # fmt: skip


def callbacks() -> list[tuple[str, str]]:
    """An agreement and something nobody knows, sealed and signed as WeCom does; a third that is signed by nobody."""
    event = "<xml><ToUserName>ww1</ToUserName><FromUserName>sys</FromUserName><CreateTime>{at}</CreateTime><MsgType>event</MsgType><Event>{event}</Event>{more}</xml>"
    who = f"<UserID>zhangsan</UserID><ExternalUserID>{CUSTOMERS['Called']}</ExternalUserID><WelcomeCode>{WORDS['event']}</WelcomeCode>"
    keys, made, at = callback_codec.keys(CALLBACK_TOKEN, CALLBACK_KEY, "ww1"), [], str(clock.now_ms() // 1000)
    for n, (name, more) in enumerate([("change_external_contact", f"<ChangeType>msg_audit_approved</ChangeType>{who}"), (WORDS["event"], who), ("msgaudit_notify", who)]):
        sealed = callback_codec.seal(event.format(at=at, event=name, more=more).encode(), keys=keys, filler=os.urandom(16))
        signed = callback_codec.signature(CALLBACK_TOKEN, at, f"n{n}", sealed) if n < 2 else "0" * 40
        made.append((f"/callback/ww1?msg_signature={signed}&timestamp={at}&nonce=n{n}", f"<xml><ToUserName>ww1</ToUserName><Encrypt>{sealed}</Encrypt></xml>"))
    return made


def calls(files: dict[str, Path], url: str = "http://127.0.0.1:1", port: int = 8470) -> list[tuple[list[str], int]]:
    """All commands in order, each with the exit code it must end with."""
    f = {name: str(path) for name, path in files.items()}
    return [
        (["init", "--corp-id", "ww1"], 0),
        (["keys", "add", "--version", "1", "--private-key", f["v1.pem"]], 0),
        (["keys", "add", "--version", "3", "--private-key", f["bad-key.pem"]], 2),
        (["people", "import", f["people.jsonl"]], 0),
        (["people", "import", f["bad-people.jsonl"]], 2),
        (["consent", "import", f["consent.jsonl"]], 3),
        (["consent", "import", f["bad-consent.jsonl"]], 3),
        (["lexicon", "add", f["words.txt"], "--id", "mine"], 0),
        (["lexicon", "add", f["bad-pack.yaml"]], 2),
        (["lexicon", "add", f["worse-pack.yaml"]], 2),
        (["ingest", "--from", f["page.json"]], 3),
        (["ingest", "--plain", f["plain.jsonl"]], 3),
        (["keys", "add", "--version", "2", "--private-key", f["v2.pem"], "--passphrase-env", "WRONG_WORD"], 2),
        (["keys", "add", "--version", "2", "--private-key", f["v2.pem"], "--passphrase-env", "SECRET_WORD"], 0),
        (["ingest"], 3),
        (["status"], 0),
        (["keys", "list"], 0),
        (["sql", "select seq, text, parts, raw from messages order by origin desc, seq"], 0),
        (["sql", "select text::int from messages"], 2),
        (["sql", f"select {WORDS['query']} from messages where text like '%{WORDS['query']}%'"], 2),
        (["sql", f"select '{WORDS['query']}"], 2),
        (["conversation", f"{CUSTOMERS['Open']}|zhangsan"], 0),
        (["audit", "run", "findings-by-category"], 0),
        (["audit", "run", "findings-of-employee", "-p", f"emploee={WORDS['parameter']}"], 2),
        (["audit", "run", "findings-of-employee", "-p", "employee=zhangsan", "-p", f"from={WORDS['parameter']}"], 2),
        (["audit", "run", "unopened"], 0),
        (["audit", "pack", "--month", "2026-11", "-o", str(files["v1.pem"].parent / "pack")], 0),
        (["audit", "report", "--from", "2026-11-01", "--to", "2026-11-30", "-o", str(files["v1.pem"].parent / "report.html")], 0),
        (["ack", "failed", "--reason", WORDS["reason"]], 0),
        (["identity", "import", f["links.csv"]], 0),
        (["identity", "import", f["bad-links.csv"]], 2),
        (["scripts", "import", f["approved.jsonl"]], 0),
        (["scripts", "list"], 0),
        (["search", WORDS["text"]], 0),
        (["search", WORDS["searched"], "--from", WORDS["searched"]], 2),
        (["customer", "find", WORDS["number"]], 0),
        (["review", "list"], 0),
        (["review", "sample", "--seed", WORDS["searched"]], 0),
        (["review", "decide", WORDS["parameter"], "violation", "--reason", WORDS["reason"]], 2),
        (["reveal", "m1", "--purpose", WORDS["purpose"]], 0),
        (["consent", "list"], 0),
        (["consent", "explain", "m1"], 0),
        (["matter", "open", "M1", "--title", WORDS["title"], "--reason", WORDS["reason"], "--customer", CUSTOMERS["Open"]], 0),
        (["hold", "list"], 0),
        (["matter", "show", "M1"], 0),
        (["rescan"], 0),
        (["checkpoint"], 0),
        (["export", "--matter", "M1", "--customer", CUSTOMERS["Open"], "--preview"], 0),
        (["export", "--matter", "M1", "--customer", CUSTOMERS["Open"], "-o", str(files["v1.pem"].parent / "case.zip")], 0),
        (["media", "list"], 0),
        (["access", "whoami"], 0),
        (["access", "review"], 0),
        (["approve", "list"], 0),
        (["verify", "--archive"], 0),
        (["run"], 3),
        *asking(url, port),
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return plant(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with told_by_wecom() as at:
        yield at


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A port of this machine that nobody listens at."""
    with ports.kept() as kept:
        yield kept


@pytest.fixture(scope="module")
def played(files: dict[str, Path], platform: Platform, port: int, tmp_path_factory: pytest.TempPathFactory) -> Played:
    posts = files["v1.pem"].parent / "callbacks.json"
    posts.write_text(json.dumps(callbacks()))
    more = {"CALLBACKS": str(posts), "CALLBACK_PORT": str(port), "SECRET_HOOK": f"{platform.url}/hook?key={SECRETS['hook']}"}
    return Played(tmp_path_factory.mktemp("watched"), [words for words, _ in calls(files, platform.url, port)], more=more)


@pytest.mark.slow
def test_the_commands_end_as_they_should_and_give_what_was_asked(played: Played, files: dict[str, Path], platform: Platform, port: int) -> None:
    assert played.code == 0, played.err.decode()
    ended = [(w, c) for (w, _), c in zip(calls(files, platform.url, port), played.codes, strict=True)]
    assert ended == calls(files, platform.url, port)
    shown = next(played.out(n) for n, w in enumerate(played.calls) if w[0] == "sql")
    for name in ("text", "filename", "nested", "imported", "link", "latekey", "recalled"):
        assert WORDS[name] in shown, name
    for name in ("deep", "withheld", "pending", "unreadable"):
        assert WORDS[name] not in shown, name


@pytest.mark.slow
def test_no_planted_word_lies_in_any_file_name_or_message_of_the_program(played: Played) -> None:
    assert sum(1 for _ in played.written()) > 50
    assert leaks(played) == []


@pytest.mark.slow
def test_what_asks_wecom_is_called_by_it_or_tells_somebody_did_its_work_and_told_no_words(played: Played, platform: Platform) -> None:
    said = {" ".join(words[:2]): played.out(n) for n, words in enumerate(played.calls)}
    assert json.loads(said["pull"].splitlines()[-1])["records"] == 2 and json.loads(said["media fetch"].splitlines()[-1])["verified"] == 1
    with_agreement = json.loads(said["directory sync"].splitlines()[-1])
    assert with_agreement["rows"]["departments"] == 1 and with_agreement["agreements"] == 1
    told = [json.dumps([a.query, a.body], ensure_ascii=False) for a in platform.asked if a.path in ("/hook", "message/send")]
    assert len(told) >= 4 and any('"alerts"' in body for body in told)
    everything = json.dumps([a.body for a in platform.asked], ensure_ascii=False)
    assert [name for name, word in WORDS.items() if word in everything] == ["member"], "alerts name the employee, and tell nothing else"


@pytest.mark.slow
def test_landed_pages_and_temporary_files_are_gone_and_tables_are_encrypted_throughout(played: Played) -> None:
    for folder in ("landing", "staging"):
        assert list((played.home / folder / "ww1").iterdir()) == []
    assert [p for p in played.watched[1].rglob("*") if p.is_file()] == []
    assert [p.name for p in played.home.rglob("*.part")] == []
    tables = list((played.home / "lake" / "ww1").glob("kind=*/**/*.parquet"))
    assert len(tables) > 10
    for path in tables:
        data = path.read_bytes()
        assert data[:4] == data[-4:] == b"PARE", path.name
    # Packed content would be as good as readable.
    packed = (b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"PAR1", b"ARROW1", b"PK\x03\x04", b"SQLite")
    others = [p for p in played.home.rglob("*") if p.is_file() and "_delta_log" not in p.parts]
    assert [p.name for p in others if p.read_bytes().startswith(packed)] == []


@pytest.mark.crash
@pytest.mark.parametrize(("source", "kill_at"), [("--from", ".manifest"), ("--plain", ".page"), ("--plain", ".outline"), ("--plain", ".manifest")])
def test_a_home_whose_run_was_killed_holds_nothing_readable(files: dict[str, Path], tmp_path: Path, source: str, kill_at: str) -> None:
    setting_up = [words for words, code in calls(files) if code == 0][:4]
    file = files["page.json" if source == "--from" else "plain.jsonl"]
    played = Played(tmp_path, [*setting_up, ["ingest", source, str(file)]], kill_at=kill_at)
    assert played.code == -signal.SIGKILL
    assert [p for p in (played.home / "staging" / "ww1").iterdir() if p.suffix == kill_at]
    assert leaks(played) == []
