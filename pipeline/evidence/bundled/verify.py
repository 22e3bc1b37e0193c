#!/usr/bin/env python3
"""Checks an evidence bundle of liuhen with Python's standard library alone, offline: no trust in who made it.
用 Python 标准库离线核验 liuhen 证据包，不需要信任出具方。

    python3 verify.py CASE.zip [--key "KEY LINE"] [--lang zh|en]
    python3 verify.py FOLDER   [--key …]

KEY LINE is the public key of the log as the firm published it (data/checkpoints/log.vkey holds the bundle's own copy): with --key,
a bundle signed by another key fails. Ends with 0 when every check passed, 3 when something could not be checked, 6 when one failed.
Written from docs/formats.md, sections 9 and 13; shares no code with what made the bundle.
"""

import argparse
import base64
import hashlib
import html.parser
import json
import os
import re
import sys
import zipfile
import zlib

LABEL = b"liuhen-record-v1\0"
GROUPS = {
    "text": ["text", "parts"],
    "parties": ["sender_id", "recipient_ids", "room_id"],
    "rest": ["corp_id", "origin", "seq", "fate", "msgid", "kind", "action", "msgtype", "sent_at_ms", "captured_at_ms", "key_version",
             "raw_commitment", "sealed_sha256", "media", "reason", "scope_ref", "code"],
}  # fmt: skip
SAME = ("origin", "seq", "msgid", "kind", "action", "msgtype", "sender_id", "recipient_ids", "room_id", "text", "parts", "sent_at_ms",
        "captured_at_ms", "key_version")  # fmt: skip
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*(/[0-9A-Za-z][0-9A-Za-z._-]*)*")
MOST_BYTES = 16 << 30
CHECKS = [
    ("files", "文件齐全且与清单一致", "the files are those of the manifest"),
    ("checkpoints", "检查点签名有效，前后一致", "checkpoints are signed and each adds to the one before"),
    ("records", "每条记录都在检查点的树中", "every record is in the tree of the checkpoint"),
    ("lines", "所列文字与承诺的字段一致", "what is listed is what was committed to"),
    ("bytes", "密文与明文原始字节与承诺一致", "sealed and opened bytes are those committed to"),
    ("media", "媒体文件与记录所载摘要一致", "media files are those that the records name"),
    ("counts", "数目与完整性说明一致", "the counts are those of the completeness statement"),
    ("held", "未收录的记录各有决定的证明", "what is held back has the proof of its decision"),
    ("views", "网页与记录一致", "the pages show the records"),
    ("custody", "经手日志的链条完整", "the custody log is an unbroken chain"),
]


class Failed(Exception):
    """One check does not hold; the words name the record or file."""


def need(condition, what):
    if not condition:
        raise Failed(what)


# ---- reading ---------------------------------------------------------------------------------------------------------


def read(path):
    """Return {name below the bag: bytes}, refusing names that could do harm."""
    found = {}
    if os.path.isdir(path):
        base = path if os.path.exists(os.path.join(path, "bagit.txt")) else os.path.join(path, "case")
        for folder, folders, names in os.walk(base):
            for name in names + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
                whole = os.path.join(folder, name)
                short = os.path.relpath(whole, base).replace(os.sep, "/")
                need(not os.path.islink(whole), "a link: " + repr(short))
                with open(whole, "rb") as file:
                    found[short] = file.read()
        return found
    try:
        with zipfile.ZipFile(path) as archive:
            need(sum(i.file_size for i in archive.infolist()) < MOST_BYTES, "larger than any bundle")
            for entry in archive.infolist():
                name = entry.filename
                need(name.startswith("case/") and NAME.fullmatch(name) and ".." not in name, "a file name that is not ours: " + repr(name))
                need(name[5:] not in found, "there twice: " + repr(name))
                need((entry.external_attr >> 16) & 0o170000 in (0, 0o100000), "not a plain file: " + repr(name))
                found[name[5:]] = archive.read(entry)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError, zlib.error) as error:
        raise Failed("not a whole zip: " + str(error)) from None
    return found


def objects(data, where):
    """Return the objects of JSON Lines."""
    made = []
    for number, line in enumerate(data.split(b"\n")[:-1] if data else [], 1):
        made.append(parse(line, "%s line %d" % (where, number)))
    need(not data or data.endswith(b"\n"), where + " is cut")
    return made


def parse(data, where):
    """Return a JSON value; a key that is there twice is refused."""

    def pairs(given):
        need(len(dict(given)) == len(given), where + " says one thing twice")
        return dict(given)

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=lambda c: need(False, where + " holds " + c))
    except (ValueError, RecursionError):
        raise Failed(where + " is not JSON") from None


# ---- arithmetic ------------------------------------------------------------------------------------------------------


def sha(data):
    return hashlib.sha256(data).digest()


def canonical(fields):
    safe = {k: str(v) if isinstance(v, int) and not isinstance(v, bool) and v > 2**53 else v for k, v in fields.items()}
    return json.dumps(safe, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def opened(proof, where):
    """Return (fields of all groups, commitment) of an opening."""
    digests, fields = b"", {}
    need(set(proof["groups"]) == set(GROUPS), where + ": other groups than ours")
    for group, names in GROUPS.items():
        one = proof["groups"][group]
        need(set(one["fields"]) == set(names), where + ": other fields than ours")
        data = canonical(one["fields"])
        digests += sha(LABEL + group.encode() + b"\0" + bytes.fromhex(one["salt"]) + len(data).to_bytes(8, "big") + data)
        fields.update(one["fields"])
    return fields, sha(LABEL + digests)


def inclusion(number, size, leaf, path):
    """RFC 9162, 2.1.3.2: the root a path leads to, None for an impossible one."""
    if not 0 <= number < size:
        return None
    fn, sn, r = number, size - 1, leaf
    for p in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = sha(b"\1" + p + r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha(b"\1" + r + p)
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def consistency(old, new, first, second, proof):
    """RFC 9162, 2.1.4.2: whether the tree of `new` leaves begins with that of `old`."""
    if old == new:
        return first == second and not proof
    if old == 0:
        return not proof
    if not proof or not 0 < old < new:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    path = list(proof) if fn else [first] + list(proof)
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = sha(b"\1" + c + fr), sha(b"\1" + c + sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = sha(b"\1" + sr + c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first and sr == second


# Ed25519 verification, RFC 8032, section 6.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def added(a, b):
    w = (a[1] - a[0]) * (b[1] - b[0]) % P
    x = (a[1] + a[0]) * (b[1] + b[0]) % P
    y, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = x - w, z - y, z + y, x + w
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, a):
    made = (0, 1, 1, 0)
    while n:
        if n & 1:
            made = added(made, a)
        a, n = added(a, a), n >> 1
    return made


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(public, signature, text):
    a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % ORDER
    left, right = times(s, BASE), added(r, times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# ---- the checks ------------------------------------------------------------------------------------------------------


class Bundle:
    def __init__(self, path, key):
        self.files = read(path)
        self.key_line = key
        self.notes = {}
        self.logs = {}
        self.proofs = {}
        self.lines = []
        self.origin = ""
        self.unchecked = []

    def data(self, name):
        need("data/" + name in self.files, "missing: data/" + name)
        return self.files["data/" + name]

    def names(self, folder, ending):
        return sorted(n[5:] for n in self.files if n.startswith("data/" + folder + "/") and n.endswith(ending))

    def check_files(self):
        need(self.files.get("bagit.txt", b"").startswith(b"BagIt-Version: 1.0\n"), "not a BagIt bag")
        for name in self.files:
            need(NAME.fullmatch(name) and ".." not in name, "a file name that is not ours: " + repr(name))
        folded = [n.casefold() for n in self.files]
        need(len(set(folded)) == len(folded), "two names differ in case only")
        payload = self.manifest("manifest-sha256.txt", lambda n: n.startswith("data/"))
        self.manifest("tagmanifest-sha256.txt", lambda n: not n.startswith("data/") and n != "tagmanifest-sha256.txt")
        oxum = re.search(rb"^Payload-Oxum: (\d+)\.(\d+)$", self.files.get("bag-info.txt", b""), re.M)
        need(oxum and int(oxum[2]) == len(payload) and int(oxum[1]) == sum(len(self.files[n]) for n in payload), "bag-info.txt counts otherwise")

    def manifest(self, name, covers):
        listed = {}
        for line in self.files.get(name, b"").decode("utf-8", "replace").splitlines():
            digest, _, path = line.partition("  ")
            need(path not in listed, name + " lists twice " + repr(path))
            listed[path] = digest
        there = {n for n in self.files if covers(n)}
        for path in sorted(set(listed) - there):
            raise Failed("missing: " + repr(path))
        for path in sorted(there - set(listed)):
            raise Failed("put in by somebody else: " + repr(path))
        for path, digest in listed.items():
            need(hashlib.sha256(self.files[path]).hexdigest() == digest, "changed: " + repr(path))
        return listed

    def check_checkpoints(self):
        line = self.data("checkpoints/log.vkey").decode("utf-8", "replace").strip()
        name, _, rest = line.partition("+")
        told, _, encoded = rest.partition("+")
        key = base64.b64decode(encoded, validate=True)
        need(len(key) == 33 and key[:1] == b"\1" and sha(name.encode() + b"\n" + key)[:4].hex() == told, "log.vkey is no key")
        need(name.endswith("/" + hashlib.sha256(key[1:]).hexdigest()[:16]), "the log's name is not that of its key")
        if self.key_line is None:
            self.unchecked.append(("key", line))
        else:
            need(self.key_line.strip() == line, "signed by another key than the one you gave")
        self.origin = name
        for file in self.names("checkpoints", ".note"):
            size, root = self.note(file, name, key)
            need(size not in self.notes and file.rsplit("/", 1)[1] == "%012d.note" % size, file + " is not over the leaves it names")
            self.notes[size] = root
        need(self.notes, "no checkpoint")
        new = max(self.notes)
        for size, root in self.notes.items():
            proof = parse(self.data("checkpoints/%012d.consistency.json" % size), "consistency of %d" % size)
            hashes = [bytes.fromhex(h) for h in proof["proof"]]
            need((proof["old"], proof["new"]) == (size, new), "consistency of %d is about other trees" % size)
            need(consistency(size, new, root, self.notes[new], hashes), "checkpoint %d is not the beginning of checkpoint %d" % (size, new))

    def note(self, file, name, key):
        text, empty, signatures = self.data(file).decode("utf-8", "replace").rpartition("\n\n")
        text += "\n"
        lines = text.split("\n")
        need(empty and len(lines) == 5 and lines[0] == name and re.fullmatch(r"0|[1-9][0-9]*", lines[1]), file + " is not a checkpoint of this log")
        custody = re.fullmatch(r"custody ([1-9][0-9]*) ([0-9a-f]{64})", lines[3])
        need(custody and not lines[4], file + " names no custody log")
        found = re.fullmatch("— ([^ +\n]+) ([A-Za-z0-9+/=]+)\n", signatures)
        need(found and found[1] == name, file + " is not signed by this log")
        data = base64.b64decode(found[2], validate=True)
        need(data[:4] == sha(name.encode() + b"\n" + key)[:4] and ed25519(key[1:], data[4:], text.encode()), file + ": the signature is not valid")
        root = base64.b64decode(lines[2], validate=True)
        need(len(root) == 32, file + " has no root")
        self.logs[int(lines[1])] = int(custody[1]), custody[2]
        return int(lines[1]), root

    def check_records(self):
        size = max(self.notes)
        for file in self.names("proofs", ".json"):
            proof = parse(self.data(file), file)
            need(file == "proofs/%012d.json" % proof["leaf"], file + " is about another leaf")
            self.proofs[proof["leaf"]] = self.included(proof, size, "record " + str(proof["leaf"]))

    def included(self, proof, size, where):
        fields, commitment = opened(proof, where)
        need(commitment.hex() == proof["commitment"], where + ": the fields are not what was committed to")
        need(proof["size"] == size, where + ": proof for another checkpoint")
        leaf = sha(b"\0" + proof["leaf"].to_bytes(8, "big") + commitment)
        path = [bytes.fromhex(h) for h in proof["path"]]
        need(all(len(h) == 32 for h in path), where + ": a broken path")
        need(inclusion(proof["leaf"], size, leaf, path) == self.notes[size], where + " is not in the tree of the checkpoint")
        need(fields["corp_id"] == self.origin.split("/")[1], where + " is of another corp")
        return fields, proof

    def check_lines(self):
        self.lines = objects(self.data("02-messages.jsonl"), "02-messages.jsonl")
        last = -1
        for line in self.lines:
            where = "record %s (msgid %s)" % (line["leaf"], line["msgid"])
            need(line["leaf"] > last, where + " is out of order")
            last = line["leaf"]
            need(last in self.proofs, where + " has no proof")
            fields = self.proofs[last][0]
            for name in SAME:
                need(line[name] == fields[name], "%s: %s is not what was committed to" % (where, name))
            need(fields["fate"] == "archived", where + " was not archived")
            people = [line["sender_id"]] + line["recipient_ids"]
            pair = "|".join(sorted([line["sender_id"] or ""] + line["recipient_ids"][:1]))
            need(line["conversation_id"] == (line["room_id"] or pair) or len(people) != 2, where + " stands in another conversation")
            declared = [{k: m[k] for k in ("kind", "declared_md5", "declared_size")} for m in line["media"]] or None
            need(canonical({"m": declared}) == canonical({"m": fields["media"]}), where + ": other files than were committed to")
        need(len(self.lines) == len(self.proofs), "proofs without a record: %d" % (len(self.proofs) - len(self.lines)))

    def check_bytes(self):
        raws = set(self.names("raw", ".json"))
        for leaf, (fields, proof) in self.proofs.items():
            where, plain, sealed = "record %d" % leaf, "raw/%012d.plain.json" % leaf, "raw/%012d.envelope.json" % leaf
            salt = bytes.fromhex(proof["raw_salt"])
            need(hashlib.sha256(LABEL + b"raw\0" + salt + self.data(plain)).hexdigest() == fields["raw_commitment"], where + ": the opened bytes were changed")
            inner = parse(self.data(plain), plain)
            need(str(inner.get("msgid")) == fields["msgid"], where + ": the opened bytes are of another message")
            raws.discard(plain)
            if sealed in raws:
                raws.discard(sealed)
                need(hashlib.sha256(self.data(sealed)).hexdigest() == fields["sealed_sha256"], where + ": the sealed bytes were changed")
                outer = parse(self.data(sealed), sealed)
                need((outer["seq"], outer["msgid"]) == (fields["seq"], fields["msgid"]), where + ": the sealed bytes are of another record")
            else:
                need(fields["origin"] == "imported", where + ": the sealed bytes are missing")
        need(not raws, "bytes of no record: " + ", ".join(sorted(raws)))

    def check_media(self):
        named = {}
        for line in self.lines:
            for item in line["media"]:
                if item["sha256"]:
                    named["media/" + item["sha256"] + ".bin"] = line["leaf"]
        for file in self.names("media", ""):
            need(file in named, "a file of no record: " + file)
        for file, leaf in named.items():
            digest = hashlib.sha256(self.data(file)).hexdigest()
            need(file == "media/" + digest + ".bin", "record %s: its file is another than was fetched" % leaf)

    def check_counts(self):
        said = parse(self.data("completeness/coverage.json"), "coverage.json")
        need(said["leaves"] == max(self.notes), "coverage.json is about another checkpoint")
        need(said["records"] == len(self.lines), "coverage.json says %s records, there are %d" % (said["records"], len(self.lines)))
        for one in said["conversations"]:
            name = one["conversation_id"]
            there = sum(line["conversation_id"] == name for line in self.lines)
            need(one["in_bundle"] == there, "conversation %s: %s records said, %d there" % (name, one["in_bundle"], there))
            outside = (one["before"] or 0) + (one["after"] or 0)
            need(one["archived"] == there + outside, "conversation %s: %s archived, %d there and %d outside the days" % (name, one["archived"], there, outside))
        known = {one["conversation_id"] for one in said["conversations"]}
        for line in self.lines:
            need(line["conversation_id"] in known, "record %s stands in a conversation that is not listed" % line["leaf"])
        need(said["recalled"] == sum(line["recalled_at_ms"] is not None for line in self.lines), "other recalls than coverage.json says")
        there = {line["msgid"] for line in self.lines}
        held = {h["msgid"] for h in objects(self.data("completeness/held.jsonl"), "held.jsonl")}
        places = {"here": there, "held": held}
        for line in self.lines:
            if line["kind"] == "recall":
                need(line["original"] in ("here", "held", "outside", "unknown"), "recall %s does not say where its original is" % line["leaf"])
                need(line["recalls_msgid"] in places.get(line["original"], [line["recalls_msgid"]]), "the original of recall %s is gone" % line["leaf"])

    def check_held(self):
        said = parse(self.data("completeness/coverage.json"), "coverage.json")
        held = objects(self.data("completeness/held.jsonl"), "held.jsonl")
        need(said["held"] == len(held), "coverage.json says %s records are held back, %d are listed" % (said["held"], len(held)))
        for one in held:
            where = "held record %s" % one["leaf"]
            if one["proof"] is None:
                need(one["fate"] in ("restricted", "removed"), where + " has no proof of its decision")
                continue
            need(one["proof"]["leaf"] == one["leaf"], where + ": the proof is of another")
            fields, _ = self.included(one["proof"], max(self.notes), where)
            for name in ("origin", "seq", "msgid", "fate", "reason"):
                need(fields[name] == one[name], "%s: %s is not what was decided" % (where, name))

    def check_views(self):
        for lang in ("zh", "en"):
            shown = {line["msgid"]: 0 for line in self.lines}
            for file in self.names("view", "." + lang + ".html"):
                page = Page()
                page.feed(self.data(file).decode("utf-8", "replace"))
                for msgid in page.shown:
                    need(msgid in shown, "%s shows a message that is not in the bundle" % file)
                    shown[msgid] += 1
            for line in self.lines:
                need(shown[line["msgid"]], "record %s is not on the pages" % line["leaf"])

    def check_custody(self):
        previous, number, digests = "0" * 64, 0, {}
        for raw in self.data("custody/log.jsonl").split(b"\n")[:-1]:
            entry = parse(raw, "custody entry %d" % (number + 1))
            need(entry["previous"] == previous and entry["n"] == number + 1, "the custody log was changed at entry %d" % (number + 1))
            previous, number = hashlib.sha256(raw + b"\n").hexdigest(), entry["n"]
            digests[number] = previous
        for size, (n, digest) in self.logs.items():
            need(digests.get(n) == digest, "the custody log is not the one that checkpoint %d names, at entry %d" % (size, n))
        need(number == max(n for n, _ in self.logs.values()), "the custody log goes on after the checkpoint")


class Page(html.parser.HTMLParser):
    """The messages that a page shows."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def handle_starttag(self, tag, attrs):
        self.shown += [value for name, value in attrs if name == "data-msgid" and value]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--key")
    parser.add_argument("--lang", choices=["zh", "en"], default="zh" if os.environ.get("LANG", "zh").startswith("zh") else "en")
    given = parser.parse_args()
    zh = given.lang == "zh"
    print("核验 %s" % given.bundle if zh else "checking %s" % given.bundle)
    try:
        bundle = Bundle(given.bundle, given.key)
    except Failed as failed:
        print(("0. 不通过：%s" if zh else "0. FAILED: %s") % failed)
        return 6
    for number, (name, in_zh, in_en) in enumerate(CHECKS, 1):
        try:
            getattr(bundle, "check_" + name)()
        except Failed as failed:
            print(("%d. 不通过：%s：%s" if zh else "%d. FAILED: %s: %s") % (number, in_zh if zh else in_en, failed))
            return 6
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = "%s (%s)" % (type(error).__name__, error)
            print(("%d. 不通过：%s：内容不成形 %s" if zh else "%d. FAILED: %s: malformed, %s") % (number, in_zh if zh else in_en, what))
            return 6
        print(("%d. 通过：%s" if zh else "%d. passed: %s") % (number, in_zh if zh else in_en))
    for what, value in bundle.unchecked:
        if what == "key":
            in_zh = "未核对：签名公钥是否为出具单位所公布。请与其公布的对照，或以 --key 给出："
            in_en = "not checked: whether the firm published this key. Compare, or give it with --key:"
            print((in_zh if zh else in_en) + "\n   " + value)
    print(("全部通过：%d 条记录，检查点 %d" if zh else "all passed: %d records, checkpoint %d") % (len(bundle.lines), max(bundle.notes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
