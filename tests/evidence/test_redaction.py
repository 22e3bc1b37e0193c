"""A redacted set shows nothing that was masked, in no file and no spelling; both verifiers check it, and a court can have one field opened."""

from __future__ import annotations

import io
import json
import re
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import VerifyFailed
from pipeline.evidence import check_files, check_parts
from pipeline.evidence.redaction import leaks
from pipeline.evidence.redaction.masking import Choices
from pipeline.evidence.redaction.rules import Rules, masked
from pipeline.home import Home
from tests.evidence import case
from tests.evidence.bag import Files, at, edit, edit_lines, leaf_of, lines, refused_by_both, unzipped, verdicts, zipped

DEFAULT = Choices(chosen=("小宝",), reason="默认", approver="test")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return case.home(tmp_path_factory.mktemp("redaction"))


@pytest.fixture(scope="module")
def full(archive: Home) -> Files:
    return unzipped(case.export(archive)[0])


@pytest.fixture(scope="module")
def redacted(archive: Home) -> bytes:
    return case.export(archive, choices=DEFAULT)[0]


@pytest.fixture(scope="module")
def files(redacted: bytes) -> Files:
    return unzipped(redacted)


@pytest.mark.parametrize("secret", case.SECRETS)
def test_nothing_that_was_masked_is_in_any_file(full: Files, files: Files, secret: str) -> None:
    def found(there: Files) -> bool:
        plain = (re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", n + d.decode("utf-8", "replace"))) for n, d in there.items())
        return any(secret in text for text in plain)

    assert found(full)  # else this test could not fail
    assert not found(files)


def test_the_two_sets_hold_the_same_records_at_the_same_positions(full: Files, files: Files) -> None:
    same = ("leaf", "origin", "seq", "msgid", "sent_at_ms", "msgtype", "kind")
    assert [[r[k] for k in same] for r in lines(files)] == [[r[k] for k in same] for r in lines(full)]
    assert len(lines(files)) == 10


def test_what_stands_there_instead_is_a_class_or_a_pseudonym(files: Files) -> None:
    told = {r["seq"]: r for r in lines(files)}
    assert told[1]["text"] == "您好，方便聊聊吗？😀"
    assert told[2]["text"] == "我的电话 【手机号】，身份证【身份证号】"
    assert told[3]["text"] == "卡号 【银行卡号】"
    colleague, stranger = told[5]["sender_id"], told[6]["sender_id"]
    assert re.fullmatch("同事-[0-9a-f]{8}", colleague) and re.fullmatch("客户-[0-9a-f]{8}", stranger)
    assert told[4]["text"] == f"{stranger}也在群里" and told[5]["text"] == f"我是{colleague}"
    assert told[4]["recipient_ids"] == ["wmA", stranger, colleague]
    assert told[6]["text"] == "我住【地址】，有【健康信息】，【遮盖】也是"
    assert (told[1]["sender_id"], told[1]["sender_name"], told[2]["sender_name"]) == ("zhangsan", "张三", "赵客户")


def test_what_these_people_were_told_is_there_and_third_parties_in_it_are_masked(full: Files, files: Files) -> None:
    shown = [(n["notice"], n["external_userid"], n["document_digest"]) for n in lines(full, "data/consent/notices.jsonl")]
    assert shown[0] == ("notice_text", None, "ab" * 32)
    assert sorted(shown[1:]) == [("card", "wmThird", None), ("greeting", "wmA", None)]
    hidden = {n["notice"]: n for n in lines(files, "data/consent/notices.jsonl")}
    assert hidden["greeting"]["external_userid"] == "wmA" and re.fullmatch("客户-[0-9a-f]{8}", hidden["card"]["external_userid"])
    assert all("notice_id" not in n for n in hidden.values())


def test_a_pseudonym_is_the_same_in_the_next_export_of_the_case(archive: Home, files: Files) -> None:
    again = unzipped(case.export(archive, choices=DEFAULT)[0])
    assert [r["sender_id"] for r in lines(again)] == [r["sender_id"] for r in lines(files)]


def test_the_log_names_every_mask(files: Files) -> None:
    log = lines(files, "data/redaction/log.jsonl")
    told = {(e["leaf"], e["path"], e["class"], e["start_cp"], e["end_cp"]) for e in log}
    leaf = {r["seq"]: r["leaf"] for r in lines(files)}
    assert {(leaf[2], "text", "mobile", 5, 18), (leaf[2], "text", "id_card", 22, 40), (leaf[3], "text", "bank_card", 3, 26)} <= told
    assert (leaf[5], "sender_id", "third_party", None, None) in told
    assert {e["class"] for e in log} == {"mobile", "id_card", "bank_card", "third_party", "address", "health", "chosen"}
    assert all(e["reason"] == "默认" and e["approver"] == "test" and len(e["commitment"]) == 64 for e in log)


def test_only_what_was_masked_is_closed(files: Files) -> None:
    groups = {r["seq"]: json.loads(files[f"data/proofs/{r['leaf']:012d}.json"])["groups"] for r in lines(files)}
    closed = {seq: sorted(n for n, g in one.items() if set(g) == {"digest"}) for seq, one in groups.items()}
    assert {seq: names for seq, names in closed.items() if names} == {2: ["text"], 3: ["text"], **{n: ["parties", "text"] for n in (4, 5, 6)}}


def test_bytes_files_and_custody_are_left_out(files: Files) -> None:
    assert not [n for n in files if n.startswith(("data/raw/", "data/media/", "data/custody/", "data/decryption/"))]


def test_both_verifiers_pass_a_redacted_set(redacted: bytes, tmp_path: Path) -> None:
    ours, (code, words) = verdicts(tmp_path, redacted)
    assert (ours, code) == ("", 0), words


def opening(full: Files, seq: int, group: str) -> dict[str, Any]:
    leaf = leaf_of(full, seq)
    return {"leaf": leaf, "group": group, **json.loads(full[f"data/proofs/{leaf:012d}.json"])["groups"][group]}


def test_a_court_can_have_one_group_opened_without_the_rest(full: Files, redacted: bytes, tmp_path: Path) -> None:
    one = opening(full, 5, "text")
    assert one["fields"]["text"] == "我是李四" and "lisi42" not in json.dumps(one)
    (tmp_path / "opening.json").write_text(json.dumps(one), "utf-8")
    ours, (code, words) = verdicts(tmp_path, redacted, "--opening", "opening.json", opening=one)
    assert (ours, code) == ("", 0), words
    one["fields"]["text"] = "我是王五"
    (tmp_path / "opening.json").write_text(json.dumps(one), "utf-8")
    refused_by_both(tmp_path, redacted, "not what was committed to", opening=one)


def _unlogged(files: Files) -> None:
    edit_lines(files, lambda rows: rows.clear(), "data/redaction/log.jsonl")


def _one_mask_less(files: Files) -> None:
    leaf = leaf_of(files, 3)
    edit_lines(files, lambda rows: rows.__setitem__(slice(None), [r for r in rows if r["leaf"] != leaf]), "data/redaction/log.jsonl")


def _other_commitment(files: Files) -> None:
    edit_lines(files, lambda rows: rows[0].update(commitment="00" * 32), "data/redaction/log.jsonl")


def _open_but_logged(files: Files) -> None:
    edit_lines(files, lambda rows: rows.append({**rows[0], "leaf": 0}), "data/redaction/log.jsonl")


def _other_digest(files: Files) -> None:
    name = at(files, 3, "")
    edit(files, name, lambda p: p["groups"].update(text={"digest": "00" * 32}))


def _rest_closed(files: Files) -> None:
    name = at(files, 3, "")
    edit(files, name, lambda p: p["groups"].update(rest={"digest": "00" * 32}))


def _bytes_put_in(files: Files) -> None:
    files["data/raw/000000000000.plain.json"] = b"{}"


def _open_words_changed(files: Files) -> None:
    edit_lines(files, lambda rows: rows[0].update(text="保本保息"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        pytest.param(_unlogged, "log of masks", id="the log emptied"),
        pytest.param(_one_mask_less, "log of masks", id="the masks of one record taken out of the log"),
        pytest.param(_other_commitment, "log of masks", id="a log that commits to something else"),
        pytest.param(_open_but_logged, "log of masks", id="a mask where nothing is masked"),
        pytest.param(_other_digest, "not what was committed to", id="another digest of the hidden fields"),
        pytest.param(_rest_closed, "not shown", id="more hidden than may be"),
        pytest.param(_bytes_put_in, "", id="bytes that a redacted set leaves out"),
        pytest.param(_open_words_changed, "text is not what was committed to", id="other words where nothing is masked"),
    ],
)
def test_both_verifiers_name_what_was_changed(files: Files, tmp_path: Path, damage: Any, named: str) -> None:
    changed = dict(files)
    damage(changed)
    refused_by_both(tmp_path, zipped(changed), named)


def test_masks_are_looked_at_in_parts_and_none_lies_between_two(redacted: bytes, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_parts, "AT_ONCE", 1)
    (tmp_path / "case.zip").write_bytes(redacted)
    opened, masked_one = check_files.Files(), leaf_of(files, 3)
    opened.open(tmp_path / "case.zip")
    try:
        numbers = opened.records("proofs").tolist()
        check_parts.masks(opened, numbers)
        others = [n for n in numbers if n != masked_one]
        assert others[0] < masked_one < others[-1]
        with pytest.raises(check_files.Fault, match="masks of no record"):
            check_parts.masks(opened, others)
    finally:
        opened.close()


def test_a_full_set_may_not_hide_anything(full: Files, files: Files, tmp_path: Path) -> None:
    name = at(full, 3, "")
    refused_by_both(tmp_path, zipped({**full, name: files[name]}), "not shown")


def packed(name: str, data: bytes) -> io.BytesIO:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(name, data)
    return sink


def office(text: str) -> bytes:
    return packed("xl/sharedStrings.xml", f"<sst><si><t>{text}</t></si></sst>".encode()).getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("case/a.json", '{"x":["电话13800138000"]}'.encode(), id="JSON"),
        pytest.param("case/a.json", b'{"x":"\\u0031\\u0033\\u0038 0013 8000"}', id="JSON with escapes and spaces"),
        pytest.param("case/a.json", b'{"13800138000":1}', id="a key"),
        pytest.param("case/a.json", b'{"x":13800138000}', id="a number"),
        pytest.param("case/a.jsonl", '{"x":"１３８００１３８０００"}\n'.encode(), id="full-width"),
        pytest.param("case/a.html", b"<p>138-0013-8000</p>", id="HTML with hyphens"),
        pytest.param("case/a.html", b"<p>138<b>0013</b>8000</p>", id="HTML in pieces"),
        pytest.param("case/a.html", b'<img alt="13800138000">', id="alt text"),
        pytest.param("case/a.html", b"<!-- 13800138000 -->", id="a comment"),
        pytest.param("case/a.html", "<p>1380013\u200b8000 &#49;3800138000</p>".encode(), id="unseen characters"),
        pytest.param("case/a.csv", '\ufeff"a","138 0013 8000"\r\n'.encode(), id="a cell"),
        pytest.param("case/13800138000.bin", b"", id="a file name"),
        pytest.param("case/a.bin", b"tel 13800138000", id="any other file"),
        pytest.param("case/a.json", b'{"x":"13900139000 13800138000 5"}', id="beside other numbers"),
        pytest.param("case/a.xlsx", office("13800138000"), id="a workbook"),
    ],
)
def test_a_masked_value_is_found_wherever_it_hides(name: str, data: bytes) -> None:
    with pytest.raises(VerifyFailed) as told:
        leaks.refuse(packed(name, data), ["138 0013 8000"])
    assert told.value.code == "REDACTION_LEAK" and name in str(told.value) and "0013" not in str(told.value).replace(name, "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("13800138000", "138001380001", id="inside a longer number"),
        pytest.param("13800138000", "913800138000", id="at the end of a longer number"),
        pytest.param("lisi", "lisinan", id="inside a longer name"),
        pytest.param("lisi", "danlisi", id="at the end of a longer name"),
        pytest.param("1234", "leaf 1234", id="too short to mean anything outside what was said"),
        pytest.param("王小明", "王大明", id="another name"),
    ],
)
def test_what_only_looks_like_it_is_no_leak(value: str, text: str) -> None:
    assert leaks.leaks(packed("case/a.json", json.dumps({"x": text}).encode()), [value]) == []


def test_a_short_value_is_looked_for_in_what_was_said() -> None:
    said = json.dumps({"text": "口令 1234", "parts": None}).encode() + b"\n"
    assert leaks.leaks(packed("case/data/02-messages.jsonl", said), ["1234"]) == ["case/data/02-messages.jsonl"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("住在浦东新区世纪大道100弄3号楼502室", "住在【地址】", id="an address"),
        pytest.param("一路平安，88号见", "一路平安，88号见", id="no address"),
        pytest.param("父亲确诊肺癌，做了手术", "父亲【健康信息】【健康信息】，做了【健康信息】", id="health"),
        pytest.param("lisinan 不是 lisi", "lisinan 不是 同事-1", id="an id as a word of its own"),
        pytest.param("李四光和李四", "同事-1光和同事-1", id="a Chinese name has no borders: rather one mask too many"),
        pytest.param("好", "好", id="a name of one character is not looked for in running text"),
        pytest.param("电话13800138000", "电话【手机号】", id="no last four digits stay"),
    ],
)
def test_what_is_masked_in_a_text(text: str, shown: str) -> None:
    rules = Rules(names={"lisi": "同事-1", "李四": "同事-1", "好": "客户-1"})
    assert masked(text, rules.places(text)) == shown


def test_a_class_can_stay() -> None:
    rules = Rules(names={}, keep=("health",))
    assert masked("手术费打到13800138000", rules.places("手术费打到13800138000")) == "手术费打到【手机号】"
