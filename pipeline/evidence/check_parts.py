"""Checks 12 to 14 of a bundle: proofs of decryption, what is masked, the table; each passes where a bundle has no such part.

Before: check_files.py. After: check.py. Formats: docs/formats.md, section 13.
"""

from __future__ import annotations

import codecs
import csv
import math
from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline import envelope, leaf
from pipeline.errors import RecordError
from pipeline.evidence import flat
from pipeline.evidence.check_files import LARGEST, Fault, Files, need
from pipeline.schema import leaf_schema

MASKS = "redaction/log.jsonl"
LARGEST_KEY_BITS = 16_384
AT_ONCE = 100_000  # records whose masks are in memory


def redacted(files: Files) -> bool:
    """Whether a bundle is a redacted set."""
    return f"data/{MASKS}" in files.sizes


def decryption(files: Files) -> None:
    """Check 12: every padded block opens under the public key to the sealed block, and the record to its words (decryption.py)."""
    keys = {}
    for name in files.below("decryption", ".json"):
        key = files.object(name)
        need(name == f"decryption/key-{key['version']:06d}.json", f"{name} is about another key")
        keys[key["version"]] = _public(key, name)
    proofs, sealed = files.records("decryption"), files.records("raw", ".envelope.json")
    odd = [f"decryption/{number:012d}.json" for number in sorted(set(proofs) ^ set(sealed))[:3]] if proofs and proofs != sealed else []
    need(not odd, f"proofs of decryption of no record, or records without: {odd}")
    for name in (f"decryption/{number:012d}.json" for number in proofs):
        _decrypts(files, files.object(name), keys, name)


def _public(key: dict[str, Any], name: str) -> tuple[int, int]:
    """Return (modulus, exponent); a key that no enterprise could have, and that would only keep this machine busy, is refused."""
    need(len(key["n"]) <= LARGEST_KEY_BITS // 4 and isinstance(key["e"], int), f"{name} is no RSA key")
    modulus, exponent = int(key["n"], 16), key["e"]
    need(modulus % 2 == 1 and modulus.bit_length() >= 1_024 and exponent % 2 == 1 and 2 < exponent < 1 << 32, f"{name} is no RSA key")
    return modulus, exponent


def _decrypts(files: Files, proof: dict[str, Any], keys: dict[int, tuple[int, int]], name: str) -> None:
    number = proof["leaf"]
    where = f"record {number}"
    need(name == f"decryption/{number:012d}.json", f"{name} is about another record")
    outer = files.received(f"raw/{number:012d}.envelope.json")
    need(outer["publickey_ver"] == proof["key_version"] and proof["key_version"] in keys, f"{where}: the proof of decryption is under another key")
    modulus, exponent = keys[proof["key_version"]]
    block, sealed = bytes.fromhex(proof["block"]), b64decode(outer["encrypt_random_key"], validate=True)
    shaped = len(block) == len(sealed) == (modulus.bit_length() + 7) // 8 and block[:2] == b"\0\2"
    same = shaped and pow(int.from_bytes(block), exponent, modulus) == int.from_bytes(sealed)
    need(same, f"{where}: the proof of decryption does not open under the public key")
    try:
        opened = envelope.decrypt_data(block[2:].partition(b"\0")[2], outer["encrypt_chat_msg"].encode("ascii"))
    except RecordError:
        opened = b""
    need(opened and opened == files.data(f"raw/{number:012d}.plain.json"), f"{where}: the sealed bytes decrypt to other words")


def masks(files: Files, numbers: Sequence[int]) -> None:
    """Check 13: what is closed is named in the log of masks with the digest of its group, and nothing else is; no bytes that show it."""
    if not redacted(files):
        return
    there = [n for n in files.sizes if n.startswith(("data/raw/", "data/media/", "data/custody/", "data/decryption/"))]
    there += [f"data/{folder}/" for folder, _ in files.numbers if folder != "proofs"]
    need(not there, f"in a redacted set stands what it leaves out: {there[:3]}")
    for start in range(0, max(len(numbers), 1), AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        begin, end = some[0] if start else -math.inf, numbers[start + AT_ONCE] if start + AT_ONCE < len(numbers) else math.inf
        _masks(files, some, begin, end)


def _masks(files: Files, numbers: Sequence[int], begin: float, end: float) -> None:
    """Check the masks of some records: those whose leaf is at or behind `begin` and before `end`, where the next ones begin."""
    told: dict[tuple[int, str], set[str]] = {}
    for entry in files.objects(MASKS):
        if begin <= entry["leaf"] < end:
            told.setdefault((entry["leaf"], entry["group"]), set()).add(entry["commitment"])
    for number in numbers:
        for name, group in files.object(f"proofs/{number:012d}.json")["groups"].items():
            digests = told.pop((number, name), set())
            need(digests == ({group["digest"]} if "digest" in group else set()), f"record {number}: the log of masks does not fit its {name}")
    need(not told, f"masks of no record: {sorted(told)[:3]}")


def table(files: Files, lines: Iterator[dict[str, Any]]) -> None:
    """Check 14: the table says what the records say."""
    before = csv.field_size_limit(LARGEST)  # of the whole process: others read smaller cells
    rows = csv.reader(_text_lines(files.pieces("data/02-messages.csv")), strict=True)
    try:
        need(next(rows, None) == list(flat.COLUMNS), "the table has other columns")
        for line in lines:
            need(next(rows, None) == [flat.cell(line[name]) for name in flat.COLUMNS], f"record {line['leaf']}: the table says something else")
        need(next(rows, None) is None, "the table has more rows than there are records")
    except csv.Error:
        raise Fault("the table cannot be read") from None
    finally:
        csv.field_size_limit(before)


def _text_lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """Yield the lines of a UTF-8 text with a byte order mark, each with its line feed."""
    decode, rest = codecs.getincrementaldecoder("utf-8-sig")().decode, ""
    for piece in pieces:
        *whole, rest = (rest + decode(piece)).split("\n")
        yield from (f"{line}\n" for line in whole)
    if rest := rest + decode(b"", True):
        yield rest


def opening(files: Files, opened: dict[str, Any]) -> str:
    """Check a group of fields that was opened on order against a bundle; return its group. opened: leaf, group, salt, fields."""
    number, name = opened["leaf"], opened["group"]
    need(set(opened["fields"]) == set(leaf_schema().groups[name]), "the opening has other fields than its group")
    group = files.object(f"proofs/{number:012d}.json")["groups"][name]
    shown = group["digest"] if "digest" in group else digest_of(name, group)
    need(digest_of(name, opened) == shown, f"record {number}: the opening is not what was committed to")
    return str(name)


def digest_of(name: str, group: dict[str, Any]) -> str:
    """Return the digest of an open group, hex."""
    return leaf.group_digest_from_salt(bytes.fromhex(group["salt"]), name, leaf.canonical(group["fields"])).hex()
