"""A bundle is checked by two verifiers that share no code: both pass it, both name the record when anything in it was changed."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError, VerifyFailed
from pipeline.evidence import bundle, check, checkpoint, matter, proving, scope, signer
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.source.media_fetch import Fetch
from tests import firm
from tests.cli.liuhen import liuhen
from tests.evidence.bag import SCRIPT, Files, at, edit, edit_lines, leaf_of, lines, refused_by_both, unzipped, verdicts, zipped
from tests.source.fake import Fake

DAY_MS = 86_400_000
CONTRACT = b"%PDF-1.7 x"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two conversations of a customer, one of another; a recall, a refused customer, two equal texts, a file, a phone number."""
    folder = tmp_path_factory.mktemp("evidence")
    at = firm.home(folder)
    said: dict[int, dict[str, Any]] = {
        1: firm.message(1, "您好，方便聊聊吗？"), 2: firm.message(2, "好的", sender="wmA", to=["zhangsan"]), 3: firm.message(3, "好的", sender="wmA", to=["zhangsan"]),
        4: firm.message(4, "我的电话 13800138000"), 5: firm.recall(5, "m4"), 6: firm.message(6, "另一位经理", sender="lisi", at_ms=firm.T0 - 3 * DAY_MS),
        7: firm.message(7, "别人的话", to=["wmB"]), 8: firm.message(8, "不想被存", sender="wmX", to=["zhangsan"]), 9: firm.message(9, "合同在此", msgtype="file"),
        10: firm.refusal(10, "wmX", "zhangsan", at_ms=firm.T0 - DAY_MS), 11: firm.message(11, "之后", at_ms=firm.T0 + DAY_MS),
    }  # fmt: skip
    del said[9]["text"]
    said[9]["file"] = {"md5sum": "0" * 32, "filename": "../合同.pdf", "fileext": "pdf", "filesize": 9, "sdkfileid": "f"}
    firm.run(at, firm.page(folder, "p.json", said))
    source = Fake()
    source.files["f"] = CONTRACT
    Fetch(at, firm.CORP, source, sleep=lambda _: None).run()
    matter.begin(at, firm.CORP, "2026-0142", title="保单纠纷", reason="投诉", review_on=None)
    checkpoint.make(at, firm.CORP)
    return at


def export(at: Home, size: int | None = None, first_day: date | None = None, last_day: date | None = None, **asked: str) -> bytes:
    point = checkpoint.find(at, firm.CORP, size)
    with Reader(at, firm.CORP) as reader:
        prover = proving.prover(at, firm.CORP, reader.snapshot, point)
        gathered = bundle.gather(reader, matter.open_of(at, firm.CORP, "2026-0142"), scope.of(reader, asked, first_day, last_day), prover)
        sink = io.BytesIO()
        bundle.write(sink, bundle.files(reader, gathered, prover), info={"Source-Organization": firm.CORP}, sm3=point.said.sm3 is not None)
    return sink.getvalue()


@pytest.fixture(scope="module")
def case(archive: Home) -> bytes:
    return export(archive, customer="wmA")


def test_both_verifiers_pass_a_bundle_without_any_package(case: bytes, tmp_path: Path) -> None:
    assert check_ok(tmp_path, case)


def check_ok(folder: Path, data: bytes) -> bool:
    ours, (code, words) = verdicts(folder, data)
    assert (ours, code) == ("", 0), words
    return "all passed: 8 records" in words


def test_an_unpacked_bundle_is_checked_too(case: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(case)) as archive:
        archive.extractall(tmp_path)
    ended = subprocess.run([sys.executable, "-I", "-S", str(tmp_path / "case/data/verify/verify.py"), str(tmp_path)], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stdout.decode()


def test_a_bundle_tells_all_of_a_customers_conversations_and_nothing_of_others(case: bytes) -> None:
    files = unzipped(case)
    told = lines(files)
    assert [(r["seq"], r["conversation_id"], r["text"]) for r in told if r["kind"] == "message"] == [
        (1, "wmA|zhangsan", "您好，方便聊聊吗？"), (2, "wmA|zhangsan", "好的"), (3, "wmA|zhangsan", "好的"), (4, "wmA|zhangsan", "我的电话 13800138000"),
        (6, "lisi|wmA", "另一位经理"), (9, "wmA|zhangsan", "../合同.pdf"), (11, "wmA|zhangsan", "之后"),
    ]  # fmt: skip
    assert [(r["seq"], r["recalls_msgid"], r["original"]) for r in told if r["kind"] == "recall"] == [(5, "m4", "here")]
    everything = b"".join(files.values()).decode("utf-8", "replace")
    assert "别人的话" not in everything and "不想被存" not in everything
    assert told[0]["sent_at_beijing"].endswith("+08:00") and told[0]["sent_at_utc"].endswith("Z")


def test_a_fetched_file_lies_in_the_bundle_by_its_digest(case: bytes) -> None:
    files = unzipped(case)
    assert files[f"data/media/{hashlib.sha256(CONTRACT).hexdigest()}.bin"] == CONTRACT
    (item,) = next(r for r in lines(files) if r["seq"] == 9)["media"]
    assert (item["file_name"], item["status"], item["size"]) == ("../合同.pdf", "mismatch", len(CONTRACT))


def test_no_file_is_called_what_a_stranger_called_it(case: bytes) -> None:
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_./ABCDEFGHIJKLMNOPQRSTUVWXYZ") and ".." not in name for name in unzipped(case))


@pytest.mark.slow
def test_the_same_export_gives_the_same_bytes(archive: Home, case: bytes, tmp_path: Path) -> None:
    size = checkpoint.find(archive, firm.CORP, None).size
    firm.run(archive, firm.page(tmp_path, "later.json", {50: firm.message(50, "后来的话")}))
    checkpoint.make(archive, firm.CORP)
    assert hashlib.sha256(export(archive, size, customer="wmA")).digest() == hashlib.sha256(case).digest()
    newer = export(archive, None, customer="wmA")
    assert lines(unzipped(newer))[-1]["seq"] == 50
    ours, (code, words) = verdicts(tmp_path, newer)
    assert (ours, code) == ("", 0), words


def test_a_range_of_days_is_told_with_what_lies_around(archive: Home, tmp_path: Path) -> None:
    size = min(c.size for c in checkpoint.all_of(archive, firm.CORP))
    data = export(archive, size, conversation="wmA|zhangsan", first_day=date(2026, 11, 20), last_day=date(2026, 11, 20))
    (one,) = json.loads(unzipped(data)["data/completeness/coverage.json"])["conversations"]
    assert (one["in_bundle"], one["before"], one["after"], one["archived"]) == (6, 0, 1, 7)
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), words


def test_a_withheld_record_stands_in_its_place_with_the_proof_of_the_decision(archive: Home, tmp_path: Path) -> None:
    data = export(archive, employee="ZhangSan")
    files = unzipped(data)
    assert not any("wmX" in r["conversation_id"] for r in lines(files))
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), words


def _plain(files: Files) -> None:
    name = at(files, 1, "plain")
    files[name] = files[name].replace("您好".encode(), "你好".encode())


def _removed(files: Files) -> None:
    leaf = leaf_of(files, 2)
    for name in [n for n in files if f"{leaf:012d}" in n and "checkpoints" not in n]:
        del files[name]
    edit_lines(files, lambda rows: rows.remove(next(r for r in rows if r["leaf"] == leaf)))


def _removed_and_counted(files: Files) -> None:
    _removed(files)

    def fewer(said: dict[str, Any]) -> None:
        said["records"] -= 1
        next(c for c in said["conversations"] if c["conversation_id"] == "wmA|zhangsan")["in_bundle"] -= 1

    edit(files, "data/completeness/coverage.json", fewer)


def _swapped(files: Files) -> None:
    one, two = at(files, 2, ""), at(files, 3, "")
    files[one], files[two] = files[two], files[one]


def _moved(files: Files) -> None:
    edit_lines(files, lambda rows: rows[1].update(conversation_id="lisi|wmA"))


def _said_otherwise(files: Files) -> None:
    edit_lines(files, lambda rows: rows[0].update(text="保本保息"))


def _both_said_otherwise(files: Files) -> None:
    _said_otherwise(files)
    edit(files, at(files, 1, ""), lambda p: p["groups"]["text"]["fields"].update(text="保本保息"))


def _recalled_dropped(files: Files) -> None:
    leaf = leaf_of(files, 4)
    for name in [n for n in files if f"{leaf:012d}" in n and "checkpoints" not in n]:
        del files[name]
    edit_lines(files, lambda rows: rows.remove(next(r for r in rows if r["leaf"] == leaf)))

    def fewer(said: dict[str, Any]) -> None:
        said["records"] -= 1
        said["recalled"] -= 1
        one = next(c for c in said["conversations"] if c["conversation_id"] == "wmA|zhangsan")
        one["in_bundle"] -= 1
        one["archived"] -= 1

    edit(files, "data/completeness/coverage.json", fewer)


def _other_corp(files: Files) -> None:
    edit(files, at(files, 1, ""), lambda p: p["groups"]["rest"]["fields"].update(corp_id="ww2"))


def _other_envelope(files: Files) -> None:
    files[at(files, 1, "envelope")] = files[at(files, 2, "envelope")]


def _place(files: Files) -> None:
    edit(files, at(files, 1, ""), lambda p: p.update(leaf=p["leaf"]))
    edit(files, at(files, 1, ""), lambda p: p["path"].reverse())


def _extra_node(files: Files) -> None:
    edit(files, at(files, 1, ""), lambda p: p["path"].append("00" * 32))


def _note(files: Files) -> str:
    return next(n for n in files if n.endswith(".note"))


def _older_root(files: Files) -> None:
    files[_note(files)] = files[_note(files)].replace(b"\n11\n", b"\n12\n", 1) if b"\n11\n" in files[_note(files)] else files[_note(files)] + b"x"


def _unsigned(files: Files) -> None:
    text, _, signature = files[_note(files)].rpartition(b" ")
    files[_note(files)] = text + b" " + signature[:20] + (b"B" if signature[20:21] == b"A" else b"A") + signature[21:]


def _newline_in_origin(files: Files) -> None:
    files[_note(files)] = b"liuhen/ww1/x\ny\n" + files[_note(files)].partition(b"\n")[2]


def _key(files: Files) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from pipeline.evidence import note

    other = note.key_of("liuhen/ww1/0123456789abcdef", Ed25519PrivateKey.generate())
    files["data/checkpoints/log.vkey"] = f"{other}\n".encode()


def _media(files: Files) -> None:
    (name,) = [n for n in files if n.startswith("data/media/")]
    files[name] = b"%PDF-1.7 y"


def _custody(files: Files) -> None:
    files["data/custody/log.jsonl"] = b"".join(files["data/custody/log.jsonl"].splitlines(keepends=True)[1:])


def _custody_edited(files: Files) -> None:
    files["data/custody/log.jsonl"] = files["data/custody/log.jsonl"].replace(b'"role":"owner"', b'"role":"nobody"', 1)


def _article(page: bytes, msgid: str) -> bytes:
    begin = page.index(b'<article class="row', page.index(f'data-msgid="{msgid}"'.encode()) - 60)
    return page[begin : page.index(b"</article>", begin) + len(b"</article>\n")]


def _on_page(msgid: str, change: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    """Changes a message where the pages show it."""

    def damage(files: Files) -> None:
        for name in [n for n in files if n.startswith("data/view/") and f'data-msgid="{msgid}"'.encode() in files[n]]:
            one = _article(files[name], msgid)
            files[name] = files[name].replace(one, change(one))

    return damage


def _on_pages(old: bytes, new: bytes) -> Callable[[Files], None]:
    def damage(files: Files) -> None:
        for name in [n for n in files if n.startswith("data/view/") and n.endswith(".html")]:
            files[name] = files[name].replace(old, new)

    return damage


def _written(name: str, written: Callable[[int], object]) -> Callable[[Files], None]:
    """Writes a number of the first record in another way, that Python takes for the same one."""

    def damage(files: Files) -> None:
        edit_lines(files, lambda rows: rows[1].update({name: written(rows[1][name])}))

    return damage


def _proof_of(written: Callable[[int], object]) -> Callable[[Files], None]:
    """Writes the number of record 1 otherwise where its proof says it."""

    def damage(files: Files) -> None:
        edit(files, "data/proofs/000000000001.json", lambda proof: proof.update(leaf=written(proof["leaf"])))

    return damage


def _before(name: str, said: bytes) -> Callable[[Files], None]:
    """Says something before the first words of a file, under a name that stands there again."""
    return lambda files: files.update({name: files[name].replace(b"{", b"{" + said + b",", 1)})


DAMAGES = {
    "one character of the opened JSON": (_plain, "record"),
    "a message removed": (_removed, "records"),
    "a message removed, and the counts with it": (_removed_and_counted, "wmA|zhangsan"),
    "two proofs swapped": (_swapped, "about another leaf"),
    "a message moved to another conversation": (_moved, "another conversation"),
    "other words in the list": (_said_otherwise, "text is not what was committed to"),
    "other words in the list and in the proof": (_both_said_otherwise, "not what was committed to"),
    "a recalled original dropped, counts and all": (_recalled_dropped, "the original of recall"),
    "a record of another corp": (_other_corp, "record"),
    "the envelope of another record": (_other_envelope, "sealed bytes"),
    "a path in another order": (_place, "not in the tree"),
    "a path with one node more": (_extra_node, "not in the tree"),
    "a checkpoint over more leaves with the older root": (_older_root, ""),
    "a signature that was changed": (_unsigned, "signature"),
    "an origin with a line break": (_newline_in_origin, ""),
    "a key of somebody else": (_key, ""),
    "a file replaced by one of the same size": (_media, "than was fetched"),
    "the first custody entry cut off": (_custody, "custody log"),
    "a custody entry edited": (_custody_edited, "custody log"),
    "a page that shows one message more": (_on_page("m2", lambda one: one + one.replace(b'"m2"', b'"m999"')), "not in the bundle"),
    "a page that shows one message twice": (_on_page("m2", lambda one: one + one), "on the pages twice"),
    "a page that leaves one out": (_on_page("m2", lambda one: b""), "on the pages"),
    "a page with other words": (_on_page("m2", lambda one: one.replace("好的".encode(), "不行".encode())), "shows something else"),
    "a page with more words": (_on_page("m2", lambda one: one.replace("好的</p>".encode(), "好的</p><p>不行</p>".encode())), "what we do not write"),
    "a page with words where a picture's name stands": (
        _on_page("m2", lambda one: one.replace("好的</p>".encode(), '好的</p><p class="file">不行</p>'.encode())), "view/0002.zh.html",
    ),
    "a page with an unseen character more": (_on_page("m2", lambda one: one.replace("好的".encode(), "好\u200b的".encode())), "shows something else"),
    "a page with another sender": (_on_page("m2", lambda one: one.replace(b"<b>wmA</b>", b"<b>zhangsan</b>")), "shows something else"),
    "a page with another time": (_on_page("m2", lambda one: one.replace(b">10:00:02</time>", b">11:00:02</time>")), "shows something else"),
    "a page with another file's digest": (_on_page("m9", lambda one: one.replace(b"SHA-256 ec27", b"SHA-256 ec28")), "shows something else"),
    "a page with an element that hides": (_on_page("m2", lambda one: b'<div hidden="hidden">' + one + b"</div>"), "what we do not write"),
    "a page with words in a comment": (_on_pages(b"<main>", b"<main><!-- "), "view/0001.zh.html"),
    "a page with a script": (_on_pages(b"</body>", b"<script>1</script></body>"), "view/0001.zh.html"),
    "a page with words outside": (_on_pages(b"</main>", "别的话</main>".encode()), "what we do not write"),
    "a record's number with a point": (_written("leaf", float), "a number that is not whole: 1.0"),
    "a record's number that is no number": (_written("leaf", bool), ""),
    "a record's number with a point in its proof": (_proof_of(float), "a number that is not whole: 1.0"),
    "a record's number that is no number in its proof": (_proof_of(bool), ""),
    "a number of WeCom with a point": (_written("seq", float), "a number that is not whole: "),
    "a number of WeCom that is no number": (_written("key_version", bool), "is not as we write it: key_version"),
    "a count with a point": (lambda files: edit(files, "data/completeness/coverage.json", lambda said: said.update(records=float(said["records"]))), "not whole"),
    "other words before the right ones, under the same name": (_before("data/02-messages.jsonl", b'"text":"FORGED"'), "says one thing twice"),
    "another sender before the right one": (_before("data/02-messages.jsonl", b'"sender_id":"FORGED"'), "says one thing twice"),
    "a count before the right one": (_before("data/completeness/coverage.json", b'"records":null'), "says one thing twice"),
    "half a character, which not every parser reads": (_before("data/completeness/coverage.json", b'"more":"\\uD83D"'), ""),
    "a file more, in the manifests too": (lambda files: files.update({"data/extra.txt": b"x"}), "no bundle has such a file"),
    "a page of no conversation, in the manifests too": (
        lambda files: files.update({"data/view/0009.zh.html": files["data/view/0001.zh.html"]}), "a page of no conversation: view/0009.zh.html",
    ),
    "a PDF of no page, in the manifests too": (lambda files: files.update({"data/view/0001-002.pdf": b"%PDF-1.7"}), "a page of no conversation: view/0001-002.pdf"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_both_verifiers_name_what_was_changed(case: bytes, tmp_path: Path, name: str) -> None:
    damage, named = DAMAGES[name]
    files = unzipped(case)
    before = dict(files)
    damage(files)
    assert files != before
    refused_by_both(tmp_path, zipped(files), named)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(lambda f: f.update({"data/extra.txt": b"x"}), "put in by somebody else", id="an extra file"),
        pytest.param(lambda f: f.pop("data/identity/accounts.jsonl"), "missing", id="a file gone"),
        pytest.param(lambda f: f.update({"data/01-report.html": b"x"}), "changed", id="a file changed"),
        pytest.param(lambda f: f.update({"!case/../evil": b"x"}), "not ours", id="a path out of the bag"),
        pytest.param(lambda f: f.update({"data/02-MESSAGES.jsonl": b"x"}), "", id="a name in another case"),
        pytest.param(lambda f: f.update({"!other/file": b"x"}), "not ours", id="a second folder"),
    ],
)
def test_both_verifiers_see_what_was_done_to_the_files(case: bytes, tmp_path: Path, change: Callable[[Files], None], named: str) -> None:
    files = unzipped(case)
    change(files)
    refused_by_both(tmp_path, zipped(files, sealed=False), named)


def test_a_wrong_checksum_in_the_zip_is_named_by_both(case: bytes, tmp_path: Path) -> None:
    data = bytearray(case)
    with zipfile.ZipFile(io.BytesIO(case)) as archive:
        entry = archive.getinfo("case/data/02-messages.jsonl")
    at_directory = case.index(b"PK\x01\x02", entry.header_offset)
    while data[at_directory + 46 : at_directory + 46 + len(entry.filename)] != entry.filename.encode():
        at_directory = case.index(b"PK\x01\x02", at_directory + 4)
    data[at_directory + 16] ^= 1  # its CRC-32
    refused_by_both(tmp_path, bytes(data), "not a whole zip", "02-messages.jsonl")


@pytest.mark.parametrize("cut", [0, 1, 100, 5_000, -1])
def test_a_bundle_cut_in_two_fails_without_a_trace(case: bytes, tmp_path: Path, cut: int) -> None:
    refused_by_both(tmp_path, case[:cut])


def test_a_packed_entry_that_cannot_be_unpacked_is_a_fault_for_both(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("case/bagit.txt", bytes(range(256)) * 40)
    packed = bytearray(sink.getvalue())
    start = 30 + len("case/bagit.txt")  # behind the local header and the name
    packed[start : start + 20] = b"\xff" * 20
    ours, (code, words) = verdicts(tmp_path, bytes(packed))
    assert "not a whole zip" in ours and code == 6 and "Traceback" not in words


def test_a_bundle_is_verified_by_the_command_without_a_home(case: bytes, tmp_path: Path) -> None:
    (tmp_path / "case.zip").write_bytes(case)
    assert liuhen(None, "verify", "case.zip", cwd=tmp_path).code == 0
    assert liuhen(None, "verify", "case.zip", "--key", "", cwd=tmp_path).code == 6  # an unset variable of the shell is no key
    (tmp_path / "case.zip").write_bytes(case[:-40])
    damaged = liuhen(None, "verify", "case.zip", cwd=tmp_path)
    assert damaged.code == 6 and "check 0 failed: not a whole zip: it has no directory" in damaged.err, damaged.err  # whole, though the table is cut at the terminal's width
    assert [p.name for p in tmp_path.iterdir()] == ["case.zip"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param(("--customer", "wmA", "--from", "2026-12-01", "--to", "2026-01-01"), "DAY_INVALID", id="days in the wrong order"),
        pytest.param(("--query", "query.sql"), "SQL_SYNTAX", id="a query that is no text"),
    ],
)
def test_what_makes_no_sense_makes_no_bundle(archive: Home, tmp_path: Path, asked: tuple[str, ...], code: str) -> None:
    (tmp_path / "query.sql").write_bytes(b"\xff\xfe\x00")
    ended = liuhen(archive.path, "export", "--matter", "x", *asked, "-o", "case.zip", cwd=tmp_path)
    assert ended.code == 2 and code in ended.err and not (tmp_path / "case.zip").exists()


def test_the_key_is_compared_with_the_one_that_was_published(archive: Home, case: bytes, tmp_path: Path) -> None:
    key = str(signer.public_key(archive, firm.CORP))
    ours, (code, words) = verdicts(tmp_path, case, key=key)
    assert (ours, code) == ("", 0) and "not checked" not in words
    ours, (code, _) = verdicts(tmp_path, case, key=key[:-6] + "AAAAA=")
    assert "another key" in ours and code == 6


def test_equal_words_are_two_leaves(case: bytes) -> None:
    files = unzipped(case)
    two, three = (json.loads(files[at(files, s, "")]) for s in (2, 3))
    assert two["groups"]["text"]["fields"] == three["groups"]["text"]["fields"]
    assert two["commitment"] != three["commitment"] and two["groups"]["text"]["salt"] != three["groups"]["text"]["salt"]


def test_a_log_that_was_put_back_gets_no_checkpoint(archive: Home, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(archive.path, tmp_path / "home")
    copy = Home(tmp_path / "home")
    firm.run(copy, firm.page(tmp_path, "more.json", {90: firm.message(90, "更多")}))
    checkpoint.make(copy, firm.CORP)
    for part in ("lake",):
        shutil.rmtree(copy.path / part)
        shutil.copytree(archive.path / part, copy.path / part)
    with pytest.raises(VerifyFailed) as told:
        checkpoint.make(copy, firm.CORP)
    assert told.value.code == "LOG_SHRUNK"


def test_a_checkpoint_that_is_no_text_is_told_as_damage(archive: Home, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(archive.path, tmp_path / "home")
    copy = Home(tmp_path / "home")
    checkpoint.make(copy, firm.CORP)
    next(checkpoint.folder(copy, firm.CORP).glob("*.note")).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VerifyFailed) as told:
        checkpoint.all_of(copy, firm.CORP)
    assert told.value.code == "CHECKPOINT_DAMAGED"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param({}, "SCOPE_ONE", id="nothing asked"),
        pytest.param({"customer": "wmA", "employee": "lisi"}, "SCOPE_ONE", id="two things asked"),
        pytest.param({"customer": "wmX"}, "SCOPE_EMPTY", id="a refused customer"),
        pytest.param({"conversation": "nobody"}, "SCOPE_EMPTY", id="an unknown conversation"),
        pytest.param({"query": "SELECT 1 AS x"}, "SCOPE_COLUMNS", id="a query without the columns"),
        pytest.param({"query": "SELECT origin, 'y' AS seq FROM messages"}, "SCOPE_COLUMNS", id="a seq that is text"),
        pytest.param({"query": "SELECT origin, [seq] AS seq FROM messages"}, "SCOPE_COLUMNS", id="a seq that is a list"),
    ],
)
def test_a_scope_that_cannot_be_says_so(archive: Home, asked: dict[str, str], code: str) -> None:
    with Reader(archive, firm.CORP) as reader, pytest.raises(UsageError) as told:
        scope.of(reader, asked)
    assert told.value.code == code


def test_a_query_marks_what_it_found_inside_whole_conversations(archive: Home) -> None:
    with Reader(archive, firm.CORP) as reader:
        found = scope.of(reader, {"query": "SELECT origin, seq FROM messages WHERE seq = 4"})
    assert found.conversations == ("wmA|zhangsan",) and found.marked == {("sealed", 4)}


@pytest.mark.slow
def test_what_was_learned_after_a_checkpoint_is_not_in_a_bundle_as_of_it(archive: Home, tmp_path: Path) -> None:
    """The same --as-of gives the same bytes after later messages, failures, a refusal elsewhere, names and files."""
    import shutil

    from pipeline import ingest, schema

    shutil.copytree(archive.path, tmp_path / "home")
    archive = Home(tmp_path / "home")  # the others' stays as it is
    size = checkpoint.find(archive, firm.CORP, None).size
    asked = ("export", "--matter", "2026-0142", "--customer", "wmA", "--no-pdf", "--as-of", str(size))
    assert liuhen(archive.path, *asked, "-o", "before.zip", cwd=tmp_path).code == 0
    row = {"userid": "zhangsan", "kind": "employee", "name": "后来的名字", "alias": None, "department": None, "short_name": None, "valid_from": None,
           "valid_to": None, "source": "test", "recorded_at": 4_000_000_000_000}  # fmt: skip
    ingest.append(archive, firm.CORP, [("people", schema.table("people", {k: [v] for k, v in row.items()}))], what="people")
    broken = firm.item(71, firm.message(71), version=9)
    firm.run(archive, firm.page(tmp_path, "x.json", [broken, firm.item(70, firm.message(70, "更晚的话")), firm.item(72, firm.message(72, sender="wmX", to=["zhangsan"]))]))
    assert liuhen(archive.path, *asked, "-o", "after.zip", cwd=tmp_path).code == 0
    assert (tmp_path / "before.zip").read_bytes() == (tmp_path / "after.zip").read_bytes()
    assert liuhen(archive.path, *asked[:-2], "-o", "newest.zip", cwd=tmp_path).code == 0
    newest = unzipped((tmp_path / "newest.zip").read_bytes())
    assert json.loads(newest["data/completeness/coverage.json"])["whole_archive"]["failed"] == 1 and "后来的名字".encode() in newest["data/identity/accounts.jsonl"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        pytest.param(("--destination", "US"), "APPROVAL_REFERENCE", id="abroad without an approval"),
        pytest.param(("--destination", "HK", "--reference", " "), "APPROVAL_REFERENCE", id="abroad with an empty one"),
        pytest.param(("--destination", "usa"), "DESTINATION", id="no country"),
        pytest.param(("--mask", "words.txt"), "REDACTED_ONLY", id="masks without a redacted set"),
        pytest.param(("--redacted", "case.zip"), "REDACTED_SAME", id="both sets in one file"),
        pytest.param(("--redacted", "r.zip", "--keep", "healt", "--reason", "x"), "MASK_CLASS", id="an unknown class"),
        pytest.param(("--redacted", "r.zip", "--keep", "health"), "REASON_NEEDED", id="a class kept without a reason"),
    ],
)
def test_an_export_that_may_not_be_is_refused(archive: Home, tmp_path: Path, more: tuple[str, ...], code: str) -> None:
    ended = liuhen(archive.path, "export", "--matter", "2026-0142", "--customer", "wmA", "-o", "case.zip", *more, cwd=tmp_path)
    assert ended.code == 2 and code in ended.err and not list(tmp_path.glob("*.zip"))


def test_an_export_abroad_says_where_and_on_whose_approval(archive: Home, tmp_path: Path) -> None:
    asked = ("export", "--matter", "2026-0142", "--customer", "wmA", "--no-pdf", "-o", "case.zip", "--destination", "HK", "--reference", "司办〔2026〕7号")
    assert liuhen(archive.path, *asked, cwd=tmp_path).code == 0
    assert "HK (司办〔2026〕7号)" in unzipped((tmp_path / "case.zip").read_bytes())["data/01-report.html"].decode()


def test_a_preview_says_size_holds_and_what_lies_around_and_writes_nothing(archive: Home, tmp_path: Path) -> None:
    ended = liuhen(archive.path, "--lang", "en", "export", "--matter", "2026-0142", "--customer", "wmA", "--preview", cwd=tmp_path)
    assert ended.code == 0 and "holds of this matter: 0" in ended.err and "bytes, of which media 10" in ended.err and "0 before, 0 after" in ended.err
    assert not list(tmp_path.iterdir())


def test_the_table_says_what_the_records_say_and_runs_nothing(case: bytes, tmp_path: Path) -> None:
    import csv

    table = unzipped(case)["data/02-messages.csv"]
    assert table.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))
    assert [(r["seq"], r["text"]) for r in rows[:2]] == [("1", "您好，方便聊聊吗？"), ("2", "好的")]
    files = unzipped(case)
    files["data/02-messages.csv"] = table.replace("好的".encode(), "好吧".encode(), 1)
    refused_by_both(tmp_path, zipped(files), "record 1: the table")


@pytest.mark.parametrize("text", ["=1+1", "+86", "-1", "@cmd", "\tx", "\rx", "＝1", "＠x"])
def test_a_text_that_a_sheet_would_run_is_marked_as_text(text: str) -> None:
    from pipeline.evidence import flat

    assert flat.cell(text) == "'" + text and flat.cell(-1) == "-1"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("open", "x-1", "--title", " "), "MATTER_TITLE", id="an empty title"),
        pytest.param(("open", "x-1", "--title", "t", "--reason", " "), "MATTER_REASON", id="an empty reason"),
        pytest.param(("close", "2026-0142", "--reason", ""), "MATTER_REASON", id="closed without a reason"),
    ],
)
def test_a_matter_needs_words(archive: Home, words: tuple[str, ...], code: str) -> None:
    ended = liuhen(archive.path, "matter", *words)
    assert ended.code == 2 and code in ended.err


def test_a_matter_of_a_customer_sets_the_hold_and_proposes_whom_and_when(archive: Home, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(archive.path, tmp_path / "home")
    at = tmp_path / "home"
    ended = liuhen(at, "matter", "open", "x-3", "--title", "t", "--customer", "wmA", "--review-on", "2027-05-01")
    proposed = [line.split()[:4] for line in ended.out.splitlines()]
    assert proposed == [["wmA|zhangsan", "2026-11-20", "–", "2026-11-21"], ["lisi|wmA", "2026-11-17", "–", "2026-11-17"]]
    (hold,) = [json.loads(line) for line in liuhen(at, "hold", "list", "--format", "jsonl").out.splitlines()]
    assert (hold["matter"], hold["external_userid"], hold["review_on"], hold["released_at"]) == ("x-3", "wmA", "2027-05-01", None)


def test_a_matter_about_somebody_unknown_says_so(archive: Home, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(archive.path, tmp_path / "home")
    ended = liuhen(tmp_path / "home", "--lang", "en", "matter", "open", "x-2", "--title", "t", "--employee", "nobody", "--room", "wrNone", "--customer", "wmA")
    assert ended.code == 0 and "this employee id" in ended.err and "no such room" in ended.err and "this customer id" not in ended.err


def _known(at: Path, **rows: list[dict[str, Any]]) -> Home:
    """A home in which the directory knows these rows, with a message and a checkpoint."""
    from pipeline import ingest, schema

    home = firm.home(at)
    for kind, given in rows.items():
        ingest.append(home, firm.CORP, [(kind, schema.table(kind, {k: [r[k] for r in given] for k in given[0]}))], what=kind)
    firm.run(home, firm.page(at, "p.json", {1: firm.message(1, "您好"), 2: firm.message(2, "好的", sender="wmA", to=["zhangsan"])}))
    matter.begin(home, firm.CORP, "2026-0142", title="保单纠纷", reason="投诉", review_on=None)
    checkpoint.make(home, firm.CORP)
    return home


def test_what_the_customer_saw_is_told_apart_from_the_name_inside_the_firm(tmp_path: Path) -> None:
    person = {"department": None, "short_name": None, "valid_from": None, "valid_to": None, "source": "contacts", "recorded_at": firm.T0}
    since = {"valid_from": firm.T0 - DAY_MS, "valid_to": None, "source": "contacts", "recorded_at": firm.T0}
    home = _known(
        tmp_path,
        people=[
            {**person, "userid": "zhangsan", "kind": "employee", "name": "张三", "alias": "小张", "department": "上海/理财部", "short_name": "某某证券"},
            {**person, "userid": "wmA", "kind": "external", "name": "阳光", "alias": None},
        ],
        follows=[{**since, "external_userid": "wmA", "userid": "zhangsan", "remark": "赵总 建国路", "add_way": 1}],
    )
    data = export(home, customer="wmA")
    files = unzipped(data)
    told = [(a["id"], a["says"], a.get("customer_saw"), a.get("inside_firm"), a.get("by")) for a in lines(files, "data/identity/accounts.jsonl")]
    assert told == [
        ("wmA", "directory", {"name": "阳光"}, None, None),
        ("zhangsan", "directory", {"name": "小张", "from": "alias", "firm": "某某证券"}, {"name": "张三", "department": "上海/理财部"}, None),
        ("wmA", "remark", None, {"remark": "赵总 建国路"}, "zhangsan"),
    ]
    assert [(r["sender_name"], r["sender_seen_as"]) for r in lines(files)] == [("张三", "小张@某某证券"), ("阳光", "阳光")]
    assert "客户所见：小张@某某证券" in files["data/view/0001.zh.html"].decode()
    report = files["data/01-report.html"].decode()
    assert "<td>小张@某某证券<td>张三 · 上海/理财部<td>" in report and "zhangsan 所填备注：赵总 建国路" in report
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), words


def _of(n: int, more: str = "", text: str = "好的") -> bytes:
    """A message as bytes. more: what stands after its other fields."""
    said = f'"msgid":"m{n}","action":"send","from":"zhangsan","tolist":["wmA"],"roomid":"","msgtime":{firm.T0 + n * 1000},"msgtype":"text"'
    return f'{{{said},"text":{{"content":"{text}"}}{more}}}'.encode()


# What archived messages look like that no strict parser reads: the source's own, and what other parsers make of JSON.
LENIENT = {
    "a control character": _of(1, text="换行\x11也会"), "a line break in a string": _of(2, text="第一行\n第二行"), "no number": _of(3, ',"x":NaN,"y":-Infinity'),
    "one name twice": _of(4, ',"x":1,"x":2'), "words twice": _of(5, ',"text":{"content":"后来的"}'), "a numeral of 5,000 digits": _of(6, ',"x":' + "9" * 5000),
    "a numeral beyond a double": _of(7, ',"x":1e999'), "half a character": _of(8, text="\\ud83d"),
}  # fmt: skip


def test_what_was_archived_though_no_strict_parser_reads_it_passes_both_verifiers(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    items = [firm.item(n, data, msgid=f"m{n}") for n, data in enumerate(LENIENT.values(), 1)]
    odd = firm.item(9, _of(9)).replace(b'{"seq"', b'{"x":1,"x":' + b"9" * 5000 + b',"seq"')
    assert firm.fates(firm.run(at, firm.page(tmp_path, "p.json", [*items, odd]))) == {"archived": 9}
    matter.begin(at, firm.CORP, "2026-0142", title="保单纠纷", reason="投诉", review_on=None)
    checkpoint.make(at, firm.CORP)
    data = export(at, customer="wmA")
    assert [line["text"] for line in lines(unzipped(data))][4:6] == ["后来的", "好的"]
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), (ours, words)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        pytest.param([{"path": "", "text": "甲"}], [{"text": "甲", "path": ""}], True, id="names in another order"),
        pytest.param([{"path": "", "text": "甲"}], [{"path": "", "text": "乙"}], False, id="another text"),
        pytest.param([1], [True], False, id="a yes for a number"),
        pytest.param(1, 1.0, False, id="a number with a point"),
        pytest.param(["a", "b"], ["b", "a"], False, id="a list in another order"),
    ],
)
def test_values_are_compared_as_they_were_committed_to(one: Any, other: Any, alike: bool) -> None:
    assert check._alike(one, other) == alike


def test_a_long_conversation_is_shown_in_parts_that_both_verifiers_check(archive: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.evidence import views

    monkeypatch.setattr(views, "PART", 3)
    data = export(archive, customer="wmA")
    files = unzipped(data)
    assert sorted(n for n in files if n.endswith(".zh.html")) == ["data/view/0001.zh.html", *(f"data/view/0002-00{n}.zh.html" for n in (1, 2, 3))]
    assert "第 2 部分，共 3 部分" in files["data/view/0002-002.zh.html"].decode()
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), words
    other = files["data/view/0002-001.zh.html"]
    files["data/view/0002-001.zh.html"], files["data/view/0001.zh.html"] = files["data/view/0001.zh.html"], other
    refused_by_both(tmp_path, zipped(files), "shows something else")  # the page of another conversation


def test_the_script_speaks_the_language_that_liuhen_was_told(case: bytes, tmp_path: Path) -> None:
    (tmp_path / "case.zip").write_bytes(case)
    for told, begins in (("en", "checking"), ("zh", "核验")):
        environment = {"LIUHEN_LANG": told, "LANG": "fr_FR.UTF-8", "PYTHONIOENCODING": "utf-8"}
        ended = subprocess.run([sys.executable, "-S", str(SCRIPT), "case.zip"], cwd=tmp_path, capture_output=True, check=False, env=environment)
        assert ended.stdout.decode().startswith(begins), ended.stdout.decode()[:80]


def test_a_redacted_set_in_which_nothing_was_masked_says_so(tmp_path: Path) -> None:
    home = _known(tmp_path)
    asked = ("--lang", "en", "export", "--matter", "2026-0142", "--customer", "wmA", "--no-pdf", "-o", "case.zip", "--redacted", "court.zip")
    ended = liuhen(home.path, *asked, cwd=tmp_path)
    assert ended.code == 0 and "nothing was found to mask" in ended.err and "masked values were looked for" not in ended.err


def test_page_one_of_the_report_is_in_one_language_at_a_time(case: bytes) -> None:
    chinese, english = unzipped(case)["data/01-report.html"].decode().split('<section lang="en">')
    assert "<td>客户: wmA" in chinese and "单人（未配置角色" in chinese and "single" not in chinese.partition("<section")[2]
    assert "<td>customer: wmA" in english and "single (no roles configured" in english
