"""Makes the sample case again: a made-up firm, its messages sealed as WeCom does, archived, exported, with the truth beside it.

    python3 docs/sample/make.py --pdf  # in a checkout with liuhen installed, with fonts; writes case.zip, redacted.zip, key.txt, truth.json here

Keys and salts are drawn anew each time, so the bytes differ from the last sample's; what was said is what stands below, word by word.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline import sealing

HERE = Path(__file__).parent
CORP, MATTER, CUSTOMER = "wwSAMPLE", "sample-1", "wmZhao"
DAY = 1_772_503_200_000  # 2026-03-03 10:00:00 in Beijing
# seq, minutes after ten, from, to, room, kind, words (or the msgid that is recalled)
SAID: list[tuple[int, int, str, list[str], str, str, str]] = [
    (1, 0, "linjing", [CUSTOMER], "", "text", "赵女士您好，这是您要的产品说明 😊"),
    (2, 1, CUSTOMER, ["linjing"], "", "text", "收益能保证吗？我的电话 13800138000"),
    (3, 2, "linjing", [CUSTOMER], "", "text", "您放心，保本保息，年化六个点"),
    (4, 3, "linjing", [CUSTOMER], "", "revoke", "sample-3"),
    (5, 4, "linjing", [CUSTOMER], "", "text", "更正：本产品不保证本金和收益，请以合同为准"),
    (6, 60, CUSTOMER, ["linjing", "hewei", "wmQian"], "wrSample", "text", "刚才那句我已经截图了"),
    (7, 61, "hewei", ["linjing", CUSTOMER, "wmQian"], "wrSample", "text", "赵女士，我是主管何伟，马上为您核实"),
    (8, 62, "wmQian", ["linjing", "hewei", CUSTOMER], "wrSample", "text", "我也是他们的客户，住人民路88号"),
    (9, 70, "linjing", [CUSTOMER], "", "hologram", "{}"),
]
PEOPLE = (("linjing", "employee", "林静"), ("hewei", "employee", "何伟"), (CUSTOMER, "external", "赵女士"), ("wmQian", "external", "钱女士"))


def message(seq: int, minutes: int, sender: str, to: list[str], room: str, kind: str, words: str) -> dict[str, Any]:
    """Return a message as WeCom writes it."""
    told = {"text": {"text": {"content": words}}, "revoke": {"revoke": {"pre_msgid": words}}}.get(kind, {kind: {}})
    action = "recall" if kind == "revoke" else "send"
    head = {"msgid": f"sample-{seq}", "action": action, "from": sender, "tolist": to, "roomid": room, "msgtime": DAY + minutes * 60_000, "msgtype": kind}
    return {**head, **told}


def liuhen(home: Path, *words: str) -> str:
    """Run a command of liuhen; return its stderr, where messages are."""
    ended = subprocess.run([sys.executable, "-m", "pipeline.cli", "--home", str(home), "--lang", "en", *words], capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 3):  # 3: the unknown kind of message is told as new
        raise SystemExit(f"liuhen {words[0]} ended with {ended.returncode}: {ended.stderr}")
    return ended.stderr


def make(folder: Path, out: Path) -> None:
    """Make the case in `folder`, write it to `out`."""
    home, private = folder / "home", rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    os.chmod(folder / "key.pem", 0o600)
    items = [
        sealing.seal_item(json.dumps(message(*one), ensure_ascii=False).encode(), seq=one[0], msgid=f"sample-{one[0]}", version=1, public_key=private.public_key())
        for one in SAID
    ]
    (folder / "page.json").write_bytes(b'{"errcode":0,"errmsg":"ok","chatdata":[' + b",".join(items) + b"]}")
    (folder / "people.jsonl").write_text("".join(json.dumps({"userid": u, "kind": k, "name": n}, ensure_ascii=False) + "\n" for u, k, n in PEOPLE), "utf-8")
    liuhen(home, "init", "--corp-id", CORP)
    liuhen(home, "config", "set", "demo", "true")
    liuhen(home, "keys", "add", "--version", "1", "--private-key", str(folder / "key.pem"))
    liuhen(home, "people", "import", str(folder / "people.jsonl"))
    liuhen(home, "ingest", "--from", str(folder / "page.json"))
    liuhen(home, "matter", "open", MATTER, "--title", "赵女士投诉承诺收益（虚构）", "--reason", "sample", "--customer", CUSTOMER)
    told = liuhen(home, "checkpoint")
    (out / "key.txt").write_text(next(w for w in told.split() if w.startswith(f"liuhen/{CORP}/")) + "\n", "utf-8")
    both = ("--redacted", str(out / "redacted.zip"), "--prove-decryption")
    liuhen(home, "export", "--matter", MATTER, "--customer", CUSTOMER, "-o", str(out / "case.zip"), *both, *(["--pdf"] if "--pdf" in sys.argv else ["--no-pdf"]))
    truth = [dict(zip(("seq", "minutes", "from", "to", "room", "kind", "words"), one, strict=True)) for one in SAID]
    (out / "truth.json").write_text(json.dumps(truth, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        make(Path(made), HERE)
