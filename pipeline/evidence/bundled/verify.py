#!/usr/bin/env python3
"""Checks an evidence bundle of liuhen with Python's standard library alone, offline: no trust in who made it.
用 Python 标准库离线核验 liuhen 证据包，不需要信任出具方。

    python3 verify.py CASE.zip [--key "KEY LINE"] [--stamp-roots FILE.pem] [--lang zh|en]
    python3 verify.py FOLDER   [--key …]

KEY LINE is the public key of the log as the firm published it (data/checkpoints/log.vkey holds the bundle's own copy): with --key,
a bundle signed by another key fails. FILE.pem holds the root certificates of the time-stamp authority as it published them: with
--stamp-roots, a stamp of another authority fails. Signatures of time stamps are checked by the `openssl` program.
Ends with 0 when every check passed, 3 when this machine lacks the means for one of them, 6 when one failed.
Written from docs/formats.md, sections 9 and 13; shares no code with what made the bundle.
"""

import argparse
import array
import base64
import bisect
import calendar
import hashlib
import html
import itertools
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
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
# Every file that a bundle may hold (docs/formats.md, section 13); whatever else lies in it, somebody else put in.
KNOWN = re.compile(
    r"bagit\.txt|bag-info\.txt|(tag)?manifest-sha256\.txt|manifest-sm3\.txt|data/(00-README\.html|01-report\.(html|pdf)|02-messages\.(csv|jsonl)"
    r"|checkpoints/(log\.vkey|epoch\.json|before-[0-9]+\.note|[0-9]{12}\.(note|consistency\.json))|completeness/(coverage\.json|held\.jsonl)"
    r"|consent/(events|notices)\.jsonl|custody/(log|proofs)\.jsonl|decryption/(key-[0-9]{6}|[0-9]{12})\.json|identity/accounts\.jsonl"
    r"|media/[0-9a-f]{64}\.bin|proofs/[0-9]{12}\.json|raw/[0-9]{12}\.(plain|envelope)\.json|redaction/log\.jsonl|source/pulls\.jsonl"
    r"|stamps/[0-9]{12}\.(pem|tsq|tsr)|verify/verify\.py|view/[0-9]{4,}(-[0-9]{3,})?\.(zh|en)\.html|view/[0-9]{4,}-[0-9]{3,}\.pdf)"
)
OF_RECORD = re.compile(r"data/(proofs|raw|decryption)/([0-9]{12})(\.json|\.plain\.json|\.envelope\.json)")
MOST_TIMES = 100  # all files of a zip together are at most so many times its own size: bundles are stored, packed again a tenth
MOST_BITS, MOST_EXPONENT = 16384, 1 << 32  # of an RSA key: more would only keep this machine busy
LARGEST = 1 << 29  # larger than any file that is read in one piece; media are not
LINE = 1 << 16  # longer than any line of a manifest
PIECE = 1 << 20
AT_ONCE = 100000  # records whose masks are in memory at a time
# The directory of a zip, APPNOTE.TXT 6.3.10, 4.3.12: signature, versions, flags, way of packing, time, date, CRC-32, sizes, lengths, attributes, place.
ENTRY = struct.Struct("<4s6H3L5H2L")
ODD_FLAGS = 0x2061  # encrypted, patched, hidden: no bundle is
CHECKS = [
    ("files", "文件齐全且与清单一致", "the files are those of the manifest"),
    ("checkpoints", "检查点签名有效，前后一致", "checkpoints are signed and each adds to the one before"),
    ("records", "每条记录都在检查点的树中", "every record is in the tree of the checkpoint"),
    ("lines", "所列文字与承诺的字段一致", "what is listed is what was committed to"),
    ("bytes", "密文与明文原始字节与承诺一致", "sealed and opened bytes are those committed to"),
    ("media", "媒体文件与记录所载摘要一致", "media files are those that the records name"),
    ("counts", "数目与完整性说明一致", "the counts are those of the completeness statement"),
    ("held", "未收录的记录各有决定的证明", "what is held back has the proof of its decision"),
    ("views", "网页列有全部记录，所载文字、发送人、时间与记录一致", "the pages show every record and no other, with its words, sender and time"),
    ("custody", "经手日志的链条完整", "the custody log is an unbroken chain"),
    ("stamps", "时间戳盖在检查点上", "time stamps are over the checkpoints"),
    ("decryption", "解密证明（如有）成立", "proofs of decryption, if there are any, hold"),
    ("redaction", "遮盖之处（如有）与遮盖记录一致", "what is masked, if anything, is what the log of masks says"),
    ("table", "表格与记录一致", "the table says what the records say"),
]
UNCHECKED = {
    "key": ("签名公钥是否为出具单位所公布，请与其公布的对照，或以 --key 给出：",
            "whether the firm published this key; compare it, or give it with --key:"),
    "roots": ("时间戳机构的根证书是否为该机构所公布（SHA-256），请对照，或以 --stamp-roots 给出：",
              "whether the authority published this root certificate (SHA-256); compare it, or give it with --stamp-roots:"),
    "stamps": ("时间戳的签名：本机没有可用的 openssl 程序", "signatures of time stamps: no openssl program that can do it on this machine"),
    "sm3": ("SM3：本机的 Python 不支持", "SM3: this Python does not offer it"),
}  # fmt: skip
TO_COMPARE = ("key", "roots")  # for people to do; the others are this machine's lack, and give exit code 3


class Failed(Exception):
    """One check does not hold; the words name the record or file."""


def need(condition, what):
    if not condition:
        raise Failed(what)


# ---- reading ---------------------------------------------------------------------------------------------------------


class Files:
    """The files of a bundle by their names below the bag, from a zip or a folder; read one at a time.

    Of a record's files 32 bytes each are held, else a bundle of a million records would not fit: a digest of the name, under a key drawn here
    so that nobody can aim at another's, a mark, the place of its entry in the directory of the zip, the number of the record. Names and entries
    are read again where they are needed. Of other files, which are few, the names and sizes are held."""

    def __init__(self, path):
        self.key, self.known = os.urandom(32), [bytearray() for _ in range(4096)]
        self.others, self.numbers = {}, {}  # name -> size; (folder, ending) -> numbers of records
        self.count = self.payload = self.payload_size = 0
        self.zip, self.base, self.now = None, path, ""  # now: the file that is read
        if os.path.isdir(path):
            self.base = path if os.path.exists(os.path.join(path, "bagit.txt")) else os.path.join(path, "case")
            for name, size in self.walk():
                self.add(name, size, 0)
        else:
            try:
                self.zip = open(path, "rb", buffering=0)  # noqa: SIM115 (until this program ends)
                self.look(os.path.getsize(path))
            except (Failed,) + BROKEN as error:
                if self.zip:
                    self.zip.close()
                raise error if isinstance(error, Failed) else Failed("not a whole zip: " + str(error)) from None

    # -- what is known of a name

    def find(self, name):
        """(digest, where such digests are, its place there or -1)."""
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16, key=self.key).digest()
        known = self.known[(digest[0] << 8 | digest[1]) >> 4]
        at = known.find(digest)
        while at > 0 and at % 24:
            at = known.find(digest, at + 1)
        return digest, known, at

    def add(self, name, size, place):
        digest, known, at = self.find(name)
        need(at < 0, "there twice: " + repr(name))
        known += digest + place.to_bytes(8, "big")
        found = OF_RECORD.fullmatch(name)
        if found:
            self.numbers.setdefault((found[1], found[3]), array.array("Q")).append(int(found[2]))
        else:
            self.others[name] = size
        self.count += 1
        if name.startswith("data/"):
            self.payload, self.payload_size = self.payload + 1, self.payload_size + size

    def __contains__(self, name):
        return self.find(name)[2] >= 0

    def mark(self, name, mark):
        """Put a mark on a file; return the one that was there, None where there is no such file."""
        _, known, at = self.find(name)
        if at < 0:
            return None
        old, known[at + 16] = known[at + 16], mark
        return old

    def all(self):
        """Yield the names of all files."""
        if self.zip is None:
            yield from (name for name, _ in self.walk())
        else:
            yield from (entry[0][5:] for entry in self.entries() if not folder(entry))

    # -- a folder

    def walk(self):
        for folder, folders, names in os.walk(self.base):
            for name in names + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
                whole = os.path.join(folder, name)
                short = os.path.relpath(whole, self.base).replace(os.sep, "/")
                need(not os.path.islink(whole), "a link: " + repr(short))
                need(os.path.isfile(whole), "not a plain file: " + repr(short))
                yield short, os.path.getsize(whole)

    # -- a zip

    def look(self, length):
        told = self.directory(length)
        unpacked, count, fault = 0, 0, None
        for entry in self.entries():
            count += 1
            name, _, _, way, _, _, size, kind, _, place, _ = entry
            # Ways of packing other than these unpack at once whatever a megabyte holds.
            need(way in (0, 8), "packed in a way that no bundle is")
            unpacked += size
            if folder(entry) or fault:
                continue  # folders are added by whoever packs a bundle again
            try:
                need(name.startswith("case/") and NAME.fullmatch(name) and ".." not in name, "a file name that is not ours: " + repr(name))
                need(kind in (0, 0o100000), "not a plain file: " + repr(name))
                self.add(name[5:], size, place)
            except Failed as failed:
                fault = failed
        # Some packers begin again at 0 after 65535 files.
        need(told in (count, count % 65536), "not a whole zip: its end counts %d files, its directory %d" % (told, count))
        need(unpacked <= MOST_TIMES * length, "unpacked it would be more than %d times as large: no bundle is" % MOST_TIMES)
        self.astray(length)
        if fault:
            raise fault

    def directory(self, length):
        """Find where the directory begins and ends, and how many bytes stand before the zip (4.3.14 to 4.3.16); return how many files it counts."""
        begin = max(length - 22 - 65535, 0)
        tail = self.at(begin, 22 + 65535)
        at = tail.rfind(b"PK\5\6", 0, max(len(tail) - 18, 0))
        need(at >= 0, "not a whole zip: it has no directory")
        self.end = begin + at
        self.stop = self.end + 22 + int.from_bytes(tail[at + 20 : at + 22], "little")  # behind the comment
        said = near = struct.unpack_from("<4H2L", tail, at + 4)  # disks, files here, files, bytes of the directory, its place
        same = True
        if self.end >= 76 and self.at(self.end - 20, 4) == b"PK\6\7":
            self.end -= 76
            whole = self.at(self.end, 76)
            need(whole[:4] == b"PK\6\6", "not a whole zip: its directory is not where it says")
            said = struct.unpack_from("<2L4Q", whole, 16)
            # 4.4.1.4: what fits into the near end stands there too; the far one is where the locator says.
            same = all(near[n] in (said[n], 0xFFFF if n < 4 else 0xFFFFFFFF) for n in range(6))
            same = same and struct.unpack_from("<Q", whole, 4)[0] == 44 and struct.unpack_from("<Q", whole, 64)[0] == said[4] + said[5]
        self.begin = self.end - said[4]
        self.before = self.begin - said[5]
        need(self.begin >= 0 and self.before >= 0, "not a whole zip: its directory is not where it says")
        need(same and said[:2] == (0, 0) and said[2] == said[3], "not a whole zip: its ends say different things of its directory")
        return said[3]

    def astray(self, length):
        """Fail where another reader would read something else: every byte is one file's, the directory's or its end's, and heads say what it says. In
        most zips files stand in the order of the directory; where they do not, their begins and their ends are put in order: apart when as many have
        ended as have begun before, wherever one begins."""
        last, after, ordered, beside, fault = 0, 0, True, self.stop == length, None
        for begin, end, told, name in self.places():
            ordered, beside = ordered and last <= begin, beside and after == begin
            last, after = max(last, end), end + max(told, 0)
            if told < 0 and not fault:
                fault = "not a whole zip: the head of %s says something else than the directory" % name
        if not ordered:
            begins, ends = sorted(b for b, _, _, _ in self.places()), sorted(e for _, e, _, _ in self.places())
            afters = [0] + sorted(e + max(told, 0) for _, e, told, _ in self.places())
            ordered, beside = all(ends[n - 1] <= begins[n] for n in range(1, len(begins))), self.stop == length and begins == afters[:-1]
            last, after = ends[-1], afters[-1]
        need(ordered and last <= self.begin, "not a whole zip: two of its files lie over each other: no bundle's do")
        need(not fault, fault)
        need(beside and after == self.begin, "not a whole zip: it holds bytes that are no file of its directory: no bundle does")

    def places(self):
        """Yield (where it begins, where it ends, bytes that tell its numbers behind it or -1, name) of each file; -1 where its own head (4.3.7) says
        something else than the directory."""
        for name, raw, flags, way, checksum, packed, size, _, begin, _, _ in self.entries():
            head = self.at(begin, 30 + len(raw) + 64).ljust(30, b"\0")
            signature, _, own_flags, own_way, _, _, *said, named, extra = struct.unpack_from("<4s5H3L2H", head)
            end = begin + 30 + named + extra + packed
            head = head if 30 + named + extra <= len(head) else self.at(begin, 30 + named + extra)
            more = head[30 + named : 30 + named + extra]
            odd = two_ways(more)
            while len(more) >= 4 and said[1:] != [packed, size]:
                tag, count = struct.unpack_from("<2H", more)
                if tag == 1:
                    numbers = iter(struct.unpack_from("<%dQ" % (min(count, len(more) - 4) // 8), more, 4))
                    for n in (2, 1):  # the size, then the packed size
                        said[n] = next(numbers, -1) if said[n] == 0xFFFFFFFF else said[n]
                more = more[4 + count :]
            right, same = [checksum, packed, size], (signature, own_flags, own_way) == (b"PK\3\4", flags, way) and head[30 : 30 + named] == raw and not odd
            told = 0 if same and said == right else -1
            if flags & 8:  # told behind its bytes (4.3.9), and before them zeros
                told = self.behind(end, right) if same and all(n in (0, m) for n, m in zip(said, right)) else -1  # noqa: B905
            yield begin, end, told, repr(name)

    def behind(self, place, right):
        """How many bytes tell CRC-32, packed size and size: with or without a signature, in 64 or 32 bits; -1 where they say something else."""
        there = self.at(place, 24)
        for mark in (b"PK\7\x08", b""):
            for form in ("<LQQ", "<LLL"):
                if form == "<LQQ" or max(right) < 1 << 32:
                    told = mark + struct.pack(form, *right)
                    if there[: len(told)] == told:
                        return len(told)
        return -1

    def at(self, place, size):
        """So many bytes of the zip from a place on; fewer at its end."""
        self.zip.seek(place)
        data = self.zip.read(size)
        while len(data) < size:
            more = self.zip.read(size - len(data))
            if not more:
                break
            data += more
        return data

    def entries(self):
        """Yield the entries of the directory, which is read in pieces."""
        place, data, at = self.begin, b"", 0
        while place < self.end:
            if len(data) - at < min(ENTRY.size + 3 * 65535, self.end - place):  # there is no longer one
                data, at = self.at(place, min(PIECE, self.end - place)), 0
            entry = self.entry(data, at, place)
            yield entry
            place, at = place + entry[-1], at + entry[-1]

    def entry(self, data, at, place):
        """(name, its bytes, flags, way of packing, CRC-32, packed size, size, kind, where it begins, place of this entry, length of this entry)."""
        need(at + ENTRY.size <= len(data), "not a whole zip: its directory is cut")
        signature, _, version, flags, way, _, _, checksum, packed, size, named, extra, comment, _, _, attributes, offset = ENTRY.unpack_from(data, at)
        length = ENTRY.size + named + extra + comment
        right = signature == b"PK\1\2" and at + length <= len(data) and place + length <= self.end and version & 0xFF <= 63
        need(right, "not a whole zip: its directory is broken")
        raw = bytes(data[at + ENTRY.size : at + ENTRY.size + named])
        name = raw.decode("utf-8" if flags & 0x800 else "cp437", "backslashreplace")
        more = at + ENTRY.size + named
        end = more + extra
        while more + 4 <= end:  # 4.5.3: numbers that do not fit into 32 bits
            tag, count = struct.unpack_from("<2H", data, more)
            more += 4
            if tag == 1:
                numbers = iter(struct.unpack_from("<%dQ" % (min(count, end - more) // 8), data, more))
                size, packed, offset = [next(numbers, -1) if n == 0xFFFFFFFF else n for n in (size, packed, offset)]
            more += count
        need(not two_ways(data[end - extra : end]), "not a whole zip: an extra field of %s can be read in two ways" % repr(name))
        begin = offset + self.before
        need(min(size, packed, offset) >= 0 and begin + packed <= self.end, "not a whole zip: its directory is broken")
        return name, raw, flags, way, checksum, packed, size, attributes >> 16 & 0o170000, begin, place, length

    def entry_of(self, name):
        _, known, at = self.find(name)
        need(at >= 0, "missing: " + name)
        place = int.from_bytes(known[at + 17 : at + 24], "big")
        data = self.at(place, min(256, self.end - place))
        length = ENTRY.size + sum(struct.unpack_from("<3H", data, 28))
        return self.entry(data if length <= len(data) else self.at(place, length), 0, place)

    def unpacked(self, name, entry):
        """Yield the bytes of a file of the zip in pieces; they have the length and the CRC-32 that the directory says."""
        _, raw, flags, way, checksum, packed, size, _, begin, _, _ = entry
        near = self.at(begin, 256 + min(packed, PIECE))  # its head, and all of it where it is small
        same = near[:4] == b"PK\3\4" and near[26:28] == len(raw).to_bytes(2, "little") and near[30 : 30 + len(raw)] == raw
        need(same and not flags & ODD_FLAGS, "not a whole zip: " + name)
        start = 30 + len(raw) + int.from_bytes(near[28:30], "little")
        if start + packed <= len(near):
            pieces = [near[start : start + packed]]
        else:
            begin, end = begin + start, begin + start + packed
            pieces = (self.at(at, min(PIECE, end - at)) for at in range(begin, end, PIECE))
        count = made = 0
        for piece in inflated(pieces, packed) if way else pieces:
            count, made = count + len(piece), zlib.crc32(piece, made)
            need(count <= size, "not a whole zip: longer than its directory says: " + repr(name))
            yield piece
        need(count == size and made == checksum, "not a whole zip: bad CRC-32 for file " + repr(name))

    # -- either

    def pieces(self, name, most=None):
        """Yield its bytes. most: so many are allowed."""
        self.now = name[5:] if name.startswith("data/") else name
        try:
            if self.zip:
                entry = self.entry_of(name)
                need(most is None or entry[6] <= most, "larger than any such file: " + name)
                yield from self.unpacked(name, entry)
                return
            need(name in self, "missing: " + name)
            with open(os.path.join(self.base, *name.split("/")), "rb") as file:
                need(most is None or os.path.getsize(file.name) <= most, "larger than any such file: " + name)
                piece = file.read(PIECE)
                while piece:
                    yield piece
                    piece = file.read(PIECE)
        except BROKEN as error:
            raise Failed("not a whole zip: " + str(error)) from None

    def data(self, name):
        return b"".join(self.pieces(name, LARGEST))

    def digest(self, name, algorithm="sha256"):
        made = hashlib.new(algorithm)
        for piece in self.pieces(name):
            made.update(piece)
        return made.hexdigest()

    def lines(self, name, most=LARGEST, ended=True):
        """Yield its lines. most: bytes of one; ended: whether the last one must have an end."""
        rest = b""
        for piece in self.pieces(name):
            whole = (rest + piece).split(b"\n")
            rest = whole.pop()
            need(len(rest) <= most, name + " has a line larger than any of its kind")
            yield from whole
        need(not (rest and ended), name + " is cut")
        if rest:
            yield rest


def folder(entry):
    return entry[0].endswith("/") and entry[0].startswith("case/") and not entry[6] and entry[5] <= 2  # deflated, nothing is two bytes


def two_ways(extra):
    """Whether readers could take something else from extra fields: another name (4.6.9), one of two pairs of sizes, what lies behind them."""
    at, tags = 0, []
    while at + 4 <= len(extra):
        tag, count = struct.unpack_from("<2H", extra, at)
        tags.append(tag)
        at += 4 + count
    return at > len(extra) or 0x7075 in tags or tags.count(1) > 1


def inflated(packed, size=None):
    """Yield what was deflated, in pieces that are no larger than PIECE. size: of it all, where nothing may follow."""
    made, read = zlib.decompressobj(-15), 0
    for data in packed:
        read += len(data)
        while data:
            yield made.decompress(data, PIECE)
            data = made.unconsumed_tail
        if made.eof:
            break  # what follows would only be kept in memory
    yield made.flush()
    need(size is None or (made.eof and read - len(made.unused_data) == size), "not a whole zip: what is packed ends before its bytes do, or does not end")


# What reading a zip that is not whole makes the standard library raise.
BROKEN = (OSError, ValueError, OverflowError, struct.error, zlib.error)


def parse(data, where, ours=False):
    """Return a JSON value; a key that is there twice is refused. ours: what liuhen wrote, whose numbers are whole and written as such."""

    def pairs(given):
        need(len(dict(given)) == len(given), where + " says one thing twice")
        return dict(given)

    def broken(number):
        need(not ours, where + " holds a number that is not whole: " + number[:20])
        return float(number)

    def whole(digits):
        need(not ours or (len(digits) <= 20 and -(1 << 63) <= int(digits) < 1 << 64), where + " holds a number that is not whole: " + digits[:20])
        return int(digits)

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_float=broken, parse_int=whole, parse_constant=lambda c: need(False, where + " is not JSON"))
        if ours and b"\\ud" in data.lower():
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a character: other parsers do not read it
        return value
    except (ValueError, RecursionError):
        raise Failed(where + " is not JSON") from None


def received(data, where):
    """Return a JSON value of WeCom, which is read as its clients do: control characters in strings, NaN, of equal names the last one, any numeral."""
    try:
        return RECEIVED.decode(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Failed(where + " is not JSON") from None


# Python makes no numbers of more digits: such a numeral stays as it is written.
RECEIVED = json.JSONDecoder(strict=False, parse_int=lambda digits: int(digits) if len(digits) <= 4300 else digits)


# What each file of ours may say: these names, all of them but those with a question mark, and values of these kinds. A list: of such values; a tuple:
# one of these; `*`: any name. What is not here would stand beside signed words and be bound by nothing but the manifest.
INT, TEXT, MAYBE_INT, MAYBE_TEXT, TEXTS = int, str, (int, None), (str, None), [str]


def named(kind, names):
    return dict.fromkeys(names.split(), kind)


PARTS = ([named(TEXT, "path text")], None)
DECLARED = {"kind": TEXT, "declared_md5": MAYBE_TEXT, "declared_size": MAYBE_INT}
FIELDS = {
    "text": {"text": MAYBE_TEXT, "parts": PARTS},
    "parties": {"sender_id": MAYBE_TEXT, "recipient_ids": (TEXTS, None), "room_id": MAYBE_TEXT},
    "rest": {
        **named(TEXT, "corp_id origin fate"), **named(MAYBE_INT, "seq sent_at_ms captured_at_ms key_version"),
        **named(MAYBE_TEXT, "msgid kind action msgtype raw_commitment sealed_sha256 reason scope_ref code"), "media": ([DECLARED], None),
    },
}  # fmt: skip
PROOF = {
    **named(INT, "leaf size"), "commitment": TEXT, "path": TEXTS, "sm3_path?": TEXTS, "raw_salt?": TEXT,
    "groups": {"?": {group: ({"salt": TEXT, "fields": fields}, {"digest": TEXT}) for group, fields in FIELDS.items()}},
}  # fmt: skip
TIMED = {"id": TEXT, **named(MAYBE_INT, "valid_from valid_to"), "source": MAYBE_TEXT}
SAW, INSIDE = {"name": MAYBE_TEXT, "from?": TEXT, "firm?": MAYBE_TEXT}, named(MAYBE_TEXT, "name? department? remark?")
ACCOUNTS = {
    "directory": {**TIMED, "kind": TEXT, **named(MAYBE_TEXT, "name alias department short_name"), "customer_saw": (SAW, None), "inside_firm": (INSIDE, None)},
    "remark": {**TIMED, "by": TEXT, "customer_saw": None, "inside_firm": (INSIDE, None)},
    "identity": {**TIMED, "kind": TEXT, **named(MAYBE_TEXT, "value confidence"), "recorded_at": MAYBE_INT},
    "nothing": {"id": TEXT}, "masked": {"id": TEXT},
}  # fmt: skip
GAP = {**named(MAYBE_INT, "after_seq before_seq from_at to_at detected_at"), **named(MAYBE_TEXT, "cause acknowledged_by? estimate?")}
SHAPES = {
    "02-messages.jsonl": {
        **named(INT, "leaf seq"), **named(TEXT, "origin msgid kind conversation_id"), **named(MAYBE_INT, "key_version sent_at_ms captured_at_ms recalled_at_ms"),
        **named(MAYBE_TEXT, "action msgtype sender_id room_id text sent_at_beijing sent_at_utc direction sender_kind sender_name sender_seen_as recalls_msgid"),
        **named(MAYBE_TEXT, "original recalled_by consent consent_source consent_rule consent_event"), "parts": PARTS, "recipient_ids": TEXTS,
        "lawful_basis": (TEXTS, None), "marked": bool,
        "media": [{**DECLARED, "status": TEXT, "size": MAYBE_INT, **named(MAYBE_TEXT, "file_name sha256")}],
    },
    "proofs/#.json": PROOF,
    "completeness/coverage.json": {
        "asked": named(TEXT, "conversation? customer? employee? query?"), **named(INT, "leaves records marked held recalled imported"),
        **named(MAYBE_TEXT, "first_day last_day"), **named(MAYBE_INT, "first_leaf last_leaf"), "media": {"*": INT},
        "conversations": [
            {"conversation_id": TEXT, **named(INT, "in_bundle archived"), **named(MAYBE_INT, "before after"), **named(MAYBE_TEXT, "first_day last_day")},
        ],
        "whole_archive": {**named(INT, "failed pending withheld restricted"), "fates": {"*": INT}, "gaps": [GAP]},
    },
    "completeness/held.jsonl": {
        "leaf": INT, **named(TEXT, "origin fate"), "seq": MAYBE_INT, **named(MAYBE_TEXT, "msgid reason rule code dt"), "proof": (PROOF, None),
    },
    "consent/events.jsonl": {
        **named(MAYBE_TEXT, "userid room_id external_userid status precision source source_msgid"), **named(MAYBE_INT, "changed_at recorded_at"),
    },
    "consent/notices.jsonl": {
        "notice": TEXT, "notice_id?": TEXT, **named(MAYBE_TEXT, "userid external_userid source_msgid document_digest document_version"),
        **named(MAYBE_INT, "at recorded_at"),
    },
    "source/pulls.jsonl": {
        "digest": TEXT, **named(MAYBE_TEXT, "page library"), **named(MAYBE_INT, "first_seq last_seq records captured_at requested_seq answer_code clock_offset_ms"),
    },
    "checkpoints/#.consistency.json": {**named(INT, "old new"), "proof": TEXTS, "sm3_proof?": TEXTS},
    "checkpoints/epoch.json": {"epoch": INT, "path": TEXTS},
    "custody/proofs.jsonl": {**named(INT, "n size"), "path": TEXTS},
    "decryption/key-#.json": {**named(INT, "version e"), "n": TEXT},
    "decryption/#.json": {**named(INT, "leaf key_version"), "block": TEXT},
    "redaction/log.jsonl": {"leaf": INT, **named(TEXT, "group path class shown reason approver commitment"), **named(MAYBE_INT, "start_cp end_cp")},
}  # fmt: skip


def odd(value, shape):
    """Where a value is not of its shape: a path of our names, "" for all of it; None where it is of it."""
    if isinstance(shape, tuple):
        found = [odd(value, one) for one in shape]
        return None if None in found else max(found, key=len)
    if isinstance(shape, list):
        found = [odd(one, shape[0]) for one in value] if type(value) is list else [""]
        return next(("[]" + one for one in found if one is not None), None)
    if not isinstance(shape, dict):
        return None if (value is None if shape is None else type(value) is shape) else ""
    if "?" in shape:
        shape = {name + "?": one for name, one in shape["?"].items()}
    if type(value) is not dict or any(name not in value and name[-1] not in "?*" for name in shape):
        return ""
    for name, one in value.items():
        known = next((n for n in ((name, name + "?") if name[-1:] not in ("?", "*") else ()) if n in shape), "*")
        if known not in shape:
            return ""
        inner = odd(one, shape[known])
        if inner is not None:
            return known.rstrip("?") + ("." + inner if inner else "")
    return None


def of_shape(value, name, where):
    """A JSON value of ours; fails where it says what no such file says."""
    shape = SHAPES.get(re.sub("[0-9]{6,}", "#", name))
    if name == "identity/accounts.jsonl":
        kind = value.get("says") if type(value) is dict else None
        need(type(kind) is str and kind in ACCOUNTS, where + " is not as we write it")
        shape = {"says": TEXT, **ACCOUNTS[kind]}
    place = odd(value, shape)
    need(place != "", where + " is not as we write it")
    need(place is None, "%s is not as we write it: %s" % (where, place))
    return value


# ---- arithmetic ------------------------------------------------------------------------------------------------------


def sha(data):
    return hashlib.sha256(data).digest()


def sm3(data):
    return hashlib.new("sm3", data).digest()


def has_sm3():
    try:
        return bool(sm3(b""))
    except ValueError:
        return False


def canonical(fields):
    safe = {k: str(v) if isinstance(v, int) and not isinstance(v, bool) and v > 2**53 else v for k, v in fields.items()}
    return json.dumps(safe, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def alike(one, other):
    """Whether two values are the same as they are written: `true` is not 1, nor is a large number its numeral."""
    return one == other and canonical({"": one}) == canonical({"": other})


def group_digest(group, one):
    data = canonical(one["fields"])
    return sha(LABEL + group.encode() + b"\0" + bytes.fromhex(one["salt"]) + len(data).to_bytes(8, "big") + data)


def opened(proof, where):
    """Return (fields of all groups, commitment) of an opening."""
    digests, fields = b"", {}
    need(set(proof["groups"]) == set(GROUPS), where + ": other groups than ours")
    for group, names in GROUPS.items():
        one = proof["groups"][group]
        if "digest" in one:  # closed: only in a redacted set, and never the group `rest`
            digest = bytes.fromhex(one["digest"])
            need(len(digest) == 32 and group != "rest" and set(one) == {"digest"}, where + ": its fields are not shown")
            digests += digest
            continue
        need(set(one["fields"]) == set(names), where + ": other fields than ours")
        digests += group_digest(group, one)
        fields.update(one["fields"])
    return fields, sha(LABEL + digests)


def declared(line):
    """What WeCom said of a line's files, as a leaf commits to it."""
    return [{k: m[k] for k in ("kind", "declared_md5", "declared_size")} for m in line["media"]] or None


def told(said):
    """A digest of the fields that stand in a record's line and in its proof; those of a closed group are missing, which no line can be equal to."""
    return hashlib.sha256(json.dumps([said.get(name, 0) for name in SAME + ("fate", "media")], sort_keys=True).encode()).digest()


def fields_of(proof):
    """The fields of the groups that are open, of a proof that was checked (check 3)."""
    return {name: value for group in proof["groups"].values() for name, value in group.get("fields", {}).items()}


def inclusion(number, size, commitment, path, sha=sha):
    """RFC 9162, 2.1.3.2: the root a path leads to, None for an impossible one."""
    if not 0 <= number < size:
        return None
    fn, sn, r = number, size - 1, sha(b"\0" + number.to_bytes(8, "big") + commitment)
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


class Growing:
    """The root of a tree that grows leaf by leaf."""

    def __init__(self):
        self.size, self.peaks = 0, []

    def add(self, commitment):
        made, carry = sha(b"\0" + self.size.to_bytes(8, "big") + commitment), self.size
        while carry & 1:
            made, carry = sha(b"\1" + self.peaks.pop() + made), carry >> 1
        self.peaks.append(made)
        self.size += 1

    def root(self):
        made = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            made = sha(b"\1" + left + made)
        return made


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


# A checkpoint's text, docs/formats.md, section 13.
NUMBER, ROOT_LINE = "(0|[1-9][0-9]{0,17})", "([A-Za-z0-9+/]{43}=)"
CHECKPOINT = re.compile(
    (
        "(?P<origin>(?P<log>liuhen/[^/\\s+]+/[0-9a-f]{16})(/(?P<place>[1-9][0-9]{0,5}))?)\n(?P<size>@N)\n(?P<root>@R)\n"
        "custody (?P<n>@N) (?P<hex>[0-9a-f]{64})\ncustody-root (?P<lines>@R)\nat (?P<at>@N)\n"
        "(sm3 (?P<sm3>@R)\n)?(epoch (?P<epoch>[1-9][0-9]{0,5}) (?P<old>@N) (?P<oldroot>@R)\n)?"
    )
    .replace("@N", NUMBER)
    .replace("@R", ROOT_LINE)
)


class Point:
    """What a checkpoint says."""

    def __init__(self, found):
        self.size, self.root = int(found["size"]), base64.b64decode(found["root"])
        self.custody, self.custody_root = (int(found["n"]), found["hex"]), base64.b64decode(found["lines"])
        self.at = int(found["at"])
        self.sm3 = base64.b64decode(found["sm3"]) if found["sm3"] else None
        self.epoch = int(found["epoch"] or 0)
        self.old = (int(found["old"]), base64.b64decode(found["oldroot"])) if found["epoch"] else None
        self.before = 1 if found["epoch"] else 0  # leaves before that of record 0


class Bundle:
    def __init__(self, path, key, roots=None):
        self.files = Files(path)
        self.key_line, self.roots = key, roots
        self.points = {}
        self.point = None
        self.numbers = array.array("Q")  # of the records, in order
        self.origin = ""
        self.key = b""
        self.unchecked = []
        self.stamped = {}
        self.pages = {}  # (conversation, language) -> [(part, file)]
        self.fields = bytearray()  # digests of the fields that their lines must say again, 32 bytes each, in the order of the numbers
        self.faults = {}  # check -> what it will say: found while the records were read
        self.redacted = "data/redaction/log.jsonl" in self.files

    def skip(self, what, detail=""):
        if (what, detail) not in self.unchecked:
            self.unchecked.append((what, detail))

    def data(self, name):
        return self.files.data("data/" + name)

    def pieces(self, name):
        return self.files.pieces("data/" + name)

    def object(self, name):
        return of_shape(parse(self.data(name), name, ours=True), name, name)

    def objects(self, name):
        for number, line in enumerate(self.files.lines("data/" + name), 1):
            self.files.now = "%s line %d" % (name, number)
            yield of_shape(parse(line, self.files.now, ours=True), name, self.files.now)

    def lines(self):
        return self.objects("02-messages.jsonl")

    def proof(self, leaf):
        return self.object("proofs/%012d.json" % leaf)

    def names(self, folder, ending):
        begin = "data/" + folder + "/"
        return sorted(n[5:] for n in self.files.others if n.startswith(begin) and n.endswith(ending))

    def numbers_in(self, folder, ending):
        """The numbers of the records that have such a file, in order."""
        return array.array("Q", sorted(self.files.numbers.get((folder, ending), ())))

    def place(self, leaf):
        """Where a record stands among the numbers; -1 where it has no proof."""
        at = bisect.bisect_left(self.numbers, leaf)
        return at if at < len(self.numbers) and self.numbers[at] == leaf else -1

    def check_files(self):
        need("bagit.txt" in self.files and self.files.data("bagit.txt").startswith(b"BagIt-Version: 1.0\n"), "not a BagIt bag")
        for name in self.files.others:
            need(NAME.fullmatch(name) and ".." not in name, "a file name that is not ours: " + repr(name))
            # No two of these differ in case only.
            need(KNOWN.fullmatch(name), "put in by somebody else, no bundle has such a file: " + repr(name))
        for folder, ending in self.files.numbers:
            name = "data/%s/%012d%s" % (folder, self.files.numbers[folder, ending][0], ending)
            need(KNOWN.fullmatch(name), "put in by somebody else, no bundle has such a file: " + repr(name))
        there, count = self.files.payload_size, self.files.payload
        self.manifest("tagmanifest-sha256.txt", 1, self.files.count - count - 1, lambda n: not n.startswith("data/") and n != "tagmanifest-sha256.txt")
        oxum = re.search(rb"^Payload-Oxum: (\d{1,18})\.(\d{1,18})$", self.files.data("bag-info.txt"), re.M)
        need(oxum is None or there <= 2 * int(oxum[1]), "more than twice as large as bag-info.txt says")  # before it is all read
        self.manifest("manifest-sha256.txt", 2, count, lambda n: n.startswith("data/"))
        need(oxum and int(oxum[2]) == count and int(oxum[1]) == there, "bag-info.txt counts otherwise")
        if "manifest-sm3.txt" in self.files:
            if has_sm3():
                self.manifest("manifest-sm3.txt", 3, count, lambda n: n.startswith("data/"), "sm3")
            else:
                self.skip("sm3")

    def manifest(self, name, mark, count, covers, algorithm="sha256"):
        """Every file that it must cover, of which there are `count`, is listed once, and nothing else. mark: put on what is listed."""
        listed = 0
        for path, _ in self.listed(name):
            old = self.files.mark(path, mark) if covers(path) else None
            need(old is not None, "missing: " + repr(path))
            need(old != mark, name + " lists twice " + repr(path))
            listed += 1
        for path in self.files.all() if listed != count else ():
            need(not covers(path) or self.files.mark(path, mark) == mark, "put in by somebody else: " + repr(path))
        for path, digest in self.listed(name):
            need(self.files.digest(path, algorithm) == digest, "changed: " + repr(path))

    def listed(self, name):
        for line in self.files.lines(name, LINE, ended=False):
            digest, _, path = line.rstrip(b"\r").decode("utf-8", "replace").partition("  ")
            yield path, digest

    def check_checkpoints(self):
        line = self.data("checkpoints/log.vkey").decode("utf-8", "replace").strip()
        name, _, rest = line.partition("+")
        told, _, encoded = rest.partition("+")
        self.key = base64.b64decode(encoded, validate=True)
        need(len(self.key) == 33 and self.key[:1] == b"\1" and sha(name.encode() + b"\n" + self.key)[:4].hex() == told, "log.vkey is no key")
        need(name.endswith("/" + hashlib.sha256(self.key[1:]).hexdigest()[:16]), "the log's name is not that of its key")
        if self.key_line is None:
            self.skip("key", line)
        else:
            need(self.key_line.strip() == line, "signed by another key than the one you gave")
        self.origin = name
        befores = []
        for file in self.names("checkpoints", ".note"):
            if "/before-" in file:
                befores.append(file)
                continue
            point = self.note(file)
            need(point.size not in self.points and file.rsplit("/", 1)[1] == "%012d.note" % point.size, file + " is not over the leaves it names")
            self.points[point.size] = point
        need(self.points, "no checkpoint")
        self.point = self.points[max(self.points)]
        new = self.point.size
        for size, point in self.points.items():
            need((point.epoch, point.old) == (self.point.epoch, self.point.old), "checkpoint %d is of another epoch" % size)
            proof = self.object("checkpoints/%012d.consistency.json" % size)
            hashes = [bytes.fromhex(h) for h in proof["proof"]]
            need((proof["old"], proof["new"]) == (size, new), "consistency of %d is about other trees" % size)
            need(consistency(size, new, point.root, self.point.root, hashes), "checkpoint %d is not the beginning of checkpoint %d" % (size, new))
        self.epochs(befores)

    def epochs(self, befores):
        """Each epoch begins with a checkpoint of the one before it; the newest one's first leaf is that checkpoint."""
        need(sorted(befores) == sorted("checkpoints/before-%d.note" % n for n in range(1, self.point.epoch + 1)), "other epochs than the checkpoint names")
        following = self.point
        for number in range(self.point.epoch, 0, -1):
            before = self.note("checkpoints/before-%d.note" % number)
            right = following.old == (before.size, before.root) and before.epoch == number - 1
            need(right, "epoch %d does not begin with the checkpoint before it" % number)
            following = before
        if self.point.epoch:
            path = [bytes.fromhex(h) for h in self.object("checkpoints/epoch.json")["path"]]
            leaf = sha(b"liuhen-epoch-v1\0" + self.data("checkpoints/before-%d.note" % self.point.epoch))
            right = inclusion(0, self.point.size, leaf, path) == self.point.root
            need(right, "the first leaf of epoch %d is not the checkpoint before it" % self.point.epoch)

    def note(self, file):
        text, empty, signatures = self.data(file).decode("utf-8", "replace").rpartition("\n\n")
        text += "\n"
        said = CHECKPOINT.fullmatch(text)
        need(empty and said and said["log"] == self.origin and said["place"] == said["epoch"], file + " is not a checkpoint of this log")
        found = re.fullmatch("— ([^ +\n]+) ([A-Za-z0-9+/=]+)\n", signatures)
        need(found and found[1] == self.origin, file + " is not signed by this log")
        data = base64.b64decode(found[2], validate=True)
        hint = sha(self.origin.encode() + b"\n" + self.key)[:4]
        need(data[:4] == hint and ed25519(self.key[1:], data[4:], text.encode()), file + ": the signature is not valid")
        return Point(said)

    def check_records(self):
        self.numbers = self.numbers_in("proofs", ".json")
        for number in self.numbers:
            file = "proofs/%012d.json" % number
            proof = self.object(file)
            need(type(proof["leaf"]) is int and proof["leaf"] == number, file + " is about another leaf")
            fields = self.included(proof, "record " + str(proof["leaf"]))
            self.fields += told(fields)
            if not self.redacted and "bytes" not in self.faults:  # here, so that each proof is read once
                try:
                    self.bytes_of(proof["leaf"], proof, fields)
                except (Failed, LookupError, ValueError, TypeError, AttributeError) as error:
                    self.faults["bytes"] = error if isinstance(error, Failed) else Failed("record %d: malformed, %s in %s" % (proof["leaf"], type(error).__name__, self.files.now))

    def included(self, proof, where):
        fields, commitment = opened(proof, where)
        need(commitment.hex() == proof["commitment"], where + ": the fields are not what was committed to")
        need(proof["size"] == self.point.size, where + ": proof for another checkpoint")
        place = proof["leaf"] + self.point.before
        path = [bytes.fromhex(h) for h in proof["path"]]
        need(all(len(h) == 32 for h in path), where + ": a broken path")
        need(inclusion(place, self.point.size, commitment, path) == self.point.root, where + " is not in the tree of the checkpoint")
        need(("sm3_path" in proof) == (self.point.sm3 is not None), where + ": other trees than the checkpoint's")
        if self.point.sm3 is not None and has_sm3():
            path = [bytes.fromhex(h) for h in proof["sm3_path"]]
            need(inclusion(place, self.point.size, commitment, path, sm3) == self.point.sm3, where + " is not in the SM3 tree of the checkpoint")
        elif self.point.sm3 is not None:
            self.skip("sm3")
        need(fields["corp_id"] == self.origin.split("/")[1], where + " is of another corp")
        need(self.redacted or len(fields) == sum(map(len, GROUPS.values())), where + ": its fields are not shown")
        return fields

    def check_lines(self):
        last, count = -1, 0
        for line in self.lines():
            where = "record %s (msgid %s)" % (line["leaf"], line["msgid"])
            need(type(line["leaf"]) is int and line["leaf"] > last, where + " is out of order")
            last, count = line["leaf"], count + 1
            at = self.place(last)
            need(at >= 0, where + " has no proof")
            if self.fields[32 * at : 32 * at + 32] != told(dict(line, fate="archived", media=declared(line))):
                self.differs(last, line, where)
            people = [line["sender_id"]] + line["recipient_ids"]
            pair = "|".join(sorted([line["sender_id"] or ""] + line["recipient_ids"][:1]))
            need(line["conversation_id"] == (line["room_id"] or pair) or len(people) != 2, where + " stands in another conversation")
        if count != len(self.numbers):
            raise Failed("proofs without a record: %s" % sorted(set(self.numbers) - {line["leaf"] for line in self.lines()})[:3])

    def differs(self, leaf, line, where):
        """Say in what a line is not what its proof commits to; a field of a closed group may be anything."""
        fields = fields_of(self.proof(leaf))
        for name in SAME:
            need(name not in fields or alike(line[name], fields[name]), "%s: %s is not what was committed to" % (where, name))
        need(fields["fate"] == "archived", where + " was not archived")
        need(canonical({"m": declared(line)}) == canonical({"m": fields["media"]}), where + ": other files than were committed to")

    def check_bytes(self):
        if "bytes" in self.faults:
            raise self.faults["bytes"]
        for ending in (".plain.json", ".envelope.json"):
            for number in self.numbers_in("raw", ending):
                need(not self.redacted and self.place(number) >= 0, "bytes of no record: raw/%012d%s" % (number, ending))

    def bytes_of(self, leaf, proof, fields):
        where, plain, sealed = "record %d" % leaf, "raw/%012d.plain.json" % leaf, "raw/%012d.envelope.json" % leaf
        salt, data = bytes.fromhex(proof["raw_salt"]), self.data(plain)
        need(hashlib.sha256(LABEL + b"raw\0" + salt + data).hexdigest() == fields["raw_commitment"], where + ": the opened bytes were changed")
        need(str(received(data, plain).get("msgid")) == fields["msgid"], where + ": the opened bytes are of another message")
        if "data/" + sealed not in self.files:
            need(fields["origin"] == "imported", where + ": the sealed bytes are missing")
            return
        data = self.data(sealed)
        need(hashlib.sha256(data).hexdigest() == fields["sealed_sha256"], where + ": the sealed bytes were changed")
        outer = received(data, sealed)
        need((outer["seq"], outer["msgid"]) == (fields["seq"], fields["msgid"]), where + ": the sealed bytes are of another record")

    def check_media(self):
        named = {}
        for line in self.lines():
            for item in line["media"]:
                if item["sha256"]:
                    named["media/" + item["sha256"] + ".bin"] = line["leaf"]
        for file in self.names("media", ""):
            need(file in named, "a file of no record: " + file)
        for file, leaf in named.items():
            digest = self.files.digest("data/" + file)
            need(file == "media/" + digest + ".bin", "record %s: its file is another than was fetched" % leaf)

    def check_counts(self):
        said = self.object("completeness/coverage.json")
        there, recalled = {}, 0
        wanted = {"here": set(), "held": set()}  # the originals of recalls, by where they are said to be
        for line in self.lines():
            there[line["conversation_id"]] = there.get(line["conversation_id"], 0) + 1
            recalled += line["recalled_at_ms"] is not None
            if line["kind"] == "recall" and line["original"] in wanted:
                wanted[line["original"]].add(line["recalls_msgid"])
        need(said["leaves"] == self.point.size - self.point.before, "coverage.json is about another checkpoint")
        need(said["records"] == len(self.numbers), "coverage.json says %s records, there are %d" % (said["records"], len(self.numbers)))
        for one in said["conversations"]:
            name, n = one["conversation_id"], there.pop(one["conversation_id"], 0)
            need(one["in_bundle"] == n, "conversation %s: %s records said, %d there" % (name, one["in_bundle"], n))
            outside = (one["before"] or 0) + (one["after"] or 0)
            need(one["archived"] == n + outside, "conversation %s: %s archived, %d there and %d outside the days" % (name, one["archived"], n, outside))
        for line in self.lines():
            need(line["conversation_id"] not in there, "record %s stands in a conversation that is not listed" % line["leaf"])
        need(said["recalled"] == recalled, "other recalls than coverage.json says")
        for name in ("consent/events.jsonl", "consent/notices.jsonl", "source/pulls.jsonl"):
            for _ in self.objects(name):
                pass  # its names and kinds are looked at
        places = {"here": {line["msgid"] for line in self.lines() if line["msgid"] in wanted["here"]}}
        places["held"] = {h["msgid"] for h in self.objects("completeness/held.jsonl") if h["msgid"] in wanted["held"]}
        for line in self.lines():
            if line["kind"] == "recall":
                need(line["original"] in ("here", "held", "outside", "unknown"), "recall %s does not say where its original is" % line["leaf"])
                need(line["recalls_msgid"] in places.get(line["original"], [line["recalls_msgid"]]), "the original of recall %s is gone" % line["leaf"])

    def check_held(self):
        said = self.object("completeness/coverage.json")
        count = sum(1 for _ in self.objects("completeness/held.jsonl"))
        need(said["held"] == count, "coverage.json says %s records are held back, %d are listed" % (said["held"], count))
        for one in self.objects("completeness/held.jsonl"):
            where = "held record %s" % one["leaf"]
            need(type(one["leaf"]) is int, where + " has no number")
            if one["proof"] is None:
                need(one["fate"] in ("restricted", "removed"), where + " has no proof of its decision")
                continue
            need(one["proof"]["leaf"] == one["leaf"], where + ": the proof is of another")
            fields = self.included(one["proof"], where)
            for name in ("origin", "seq", "msgid", "fate", "reason"):
                need(alike(fields[name], one[name]), "%s: %s is not what was decided" % (where, name))

    def check_views(self):
        """Every page is as we write it, and each message on it says the words, people, time, labels and files of its record."""
        said = self.object("completeness/coverage.json")
        order = {one["conversation_id"]: n for n, one in enumerate(said["conversations"], 1)}
        self.check_page_names(len(order))
        shown = Shown(self, People(self.objects("identity/accounts.jsonl")))
        held = {}
        for one in self.objects("completeness/held.jsonl"):
            held[one["fate"]] = held.get(one["fate"], 0) + 1
        for lang in LANGS:
            gaps = {gap_text(one, lang): (iso(one["from_at"]), one["after_seq"] or 0) for one in said["whole_archive"]["gaps"]}
            marks = Marks()
            for line in self.lines():
                marks.add(line["msgid"], shown.of(line, order.get(line["conversation_id"]), lang))
            faults = []
            for conversation, number in order.items():
                about = {
                    "number": number, "id": conversation, "corp": self.origin.split("/")[1], "people": shown.people, "gaps": gaps, "held": held, "redacted": self.redacted,
                    "days": (said["first_day"], said["last_day"]), "at": self.point.at, "size": self.point.size,
                    **shown.conversations.get(conversation, {"internal": True, "room": False}),
                }  # fmt: skip
                faults += self.check_pages(marks, lang, about)
            if marks.sum:
                self.check_shown(shown, order, lang)
            need(not faults, faults[0] if faults else "")

    def check_page_names(self, conversations):
        names = self.names("view", "")
        pages = {n.partition(".")[0] for n in names if n.endswith(".html")}
        for file in names:
            found = re.fullmatch(r"view/([0-9]+)(?:-([0-9]+))?\.(zh|en)\.html", file)
            if found:
                self.pages.setdefault((int(found[1]), found[3]), []).append((int(found[2] or 0), file))
            number = file[5:].partition(".")[0].partition("-")[0]
            # A PDF has its HTML beside it; short conversations are written in one piece, whose PDF is part 001.
            beside = file.partition(".")[0] in pages or (file.endswith("-001.pdf") and "view/" + number in pages)
            need(1 <= int(number) <= conversations and beside, "a page of no conversation: " + file)

    def read_pages(self, lang, about):
        """Yield the pages of a conversation, in the order of its parts; none when one is missing."""
        parts, last = sorted(self.pages.get((about["number"], lang), [])), None
        whole = [part for part, _ in parts] in ([0], list(range(1, len(parts) + 1)))
        for part, file in parts if whole else []:
            page = Page(self.data(file).decode("utf-8"), file, lang, dict(about, part=(part, len(parts)) if part else None), last)
            last = page.last
            yield page

    def check_pages(self, marks, lang, about):
        """Take what the pages of a conversation show from the marks; return what is wrong beside the messages."""
        own, gaps, held, faults, count = set(), [], {}, [], 0
        for page in self.read_pages(lang, about):
            for msgid, digest in page.shown:
                marks.take(msgid, digest)
            own |= page.own
            gaps += page.gaps
            faults += [page.fault] if page.fault else []
            count += 1
            for fate, n in page.held.items():
                held[fate] = held.get(fate, 0) + n
        where = "conversation %s: " % about["number"]
        faults += [where + "a page is missing"] if not count else []
        faults += [where + "messages stand on another side of its pages"] if about["internal"] and len(own) > 1 else []
        faults += [where + "its pages show other gaps than the bundle lists"] if sorted(gaps) != sorted(about["gaps"]) else []
        faults += [where + "its pages show other held records than the bundle lists"] if held != about["held"] else []
        return faults

    def check_shown(self, shown, order, lang):
        """Name the record that the pages show otherwise: only where they do, so that nothing need be kept of every record."""
        known, seen = {}, set()
        for line in self.lines():
            known[line["msgid"]] = line["leaf"], shown.of(line, order.get(line["conversation_id"]), lang)
        for conversation, number in order.items():
            about = {"number": number, "id": conversation, "corp": "", "people": shown.people, "gaps": {}, "held": {}, "redacted": self.redacted, "days": (None, None),
                     "at": 0, "size": 0, **shown.conversations.get(conversation, {"internal": True, "room": False})}  # fmt: skip
            for page in self.read_pages(lang, about):
                for msgid, there in page.shown:
                    need(msgid in known, "%s shows a message that is not in the bundle" % page.file)
                    leaf, wanted = known[msgid]
                    need(there == wanted, "record %s: %s shows something else" % (leaf, page.file))
                    need(msgid not in seen, "record %s stands on the pages twice" % leaf)
                    seen.add(msgid)
        for msgid, (leaf, _) in known.items():
            need(msgid in seen, "record %s is not on the pages" % leaf)
        raise Failed("the pages show other messages than there are")

    def check_custody(self):
        if self.redacted:  # the log names the firm's staff: a redacted set has none
            return
        previous, grown, digests = "0" * 64, Growing(), {}
        named = {p.custody[0]: size for size, p in self.points.items()}
        paths = {p["n"]: p for p in self.objects("custody/proofs.jsonl")}
        for raw in self.files.lines("data/custody/log.jsonl"):
            number = grown.size + 1
            entry = parse(raw, "custody entry %d" % number)
            need(entry["previous"] == previous and entry["n"] == number, "the custody log was changed at entry %d" % number)
            previous = hashlib.sha256(raw + b"\n").hexdigest()
            grown.add(bytes.fromhex(previous))
            if number in paths:
                digests[number] = previous
            if number in named:
                point = self.points[named.pop(number)]
                right = (previous, grown.root()) == (point.custody[1], point.custody_root)
                need(right, "the custody log is not the one that checkpoint %d names, at entry %d" % (point.size, number))
        for number, size in named.items():
            raise Failed("the custody log is not the one that checkpoint %d names, at entry %d" % (size, number))
        need(grown.size == self.point.custody[0], "the custody log goes on after the checkpoint")
        for number, proof in paths.items():
            path = [bytes.fromhex(h) for h in proof["path"]]
            right = number in digests and proof["size"] == grown.size
            right = right and inclusion(number - 1, grown.size, bytes.fromhex(digests[number]), path) == self.point.custody_root
            need(right, "the proof of custody entry %d does not hold" % number)

    def check_stamps(self):
        for file in self.names("stamps", ""):
            size, _, ending = file.partition("/")[2].partition(".")
            need(size.isdigit() and int(size) in self.points and ending in ("pem", "tsq", "tsr"), "a stamp of no checkpoint: " + file)
            if ending == "tsr":
                self.stamp(int(size))

    def stamp(self, size):
        base, where = "stamps/%012d." % size, "the time stamp of checkpoint %d" % size
        note, answer = self.data("checkpoints/%012d.note" % size), self.data(base + "tsr")
        try:
            algorithm, digest, when, nonce = stamp_of(answer, where)
        except (ValueError, IndexError):
            raise Failed(where + " does not hold: it is none") from None
        need(algorithm in DIGESTS, where + " does not hold: a digest that is not allowed")
        need(hashlib.new(DIGESTS[algorithm], note).digest() == digest, where + " does not hold: it is over something else")
        need(nonce == nonce_of(self.data(base + "tsq"), where), where + " does not hold: it answers another request")
        if self.roots is None:
            pem = self.data(base + "pem")
            for one in re.findall(b"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", pem, re.S):
                self.skip("roots", hashlib.sha256(base64.b64decode(one)).hexdigest())
        else:
            with open(self.roots, "rb") as file:
                pem = file.read()
        answer = openssl(note, answer, pem, when)
        if answer is None:
            self.skip("stamps")
        need(answer is not False, where + " does not hold: its signature, or its chain at that time, is not valid")
        self.stamped[size] = when


    def check_decryption(self):
        """The padded block opens under the public key to the sealed block, and its inner key the record to its words."""
        keys = {}
        for file in self.names("decryption", ".json"):
            key = self.object(file)
            need(file == "decryption/key-%06d.json" % key["version"], file + " is about another key")
            need(len(key["n"]) <= MOST_BITS // 4 and type(key["e"]) is int, file + " is no RSA key")
            n, e = int(key["n"], 16), key["e"]
            need(n & 1 and n.bit_length() >= 1024 and 2 < e < MOST_EXPONENT and e & 1, file + " is no RSA key")
            keys[key["version"]] = n, e
        proofs, sealed = self.numbers_in("decryption", ".json"), self.numbers_in("raw", ".envelope.json")
        if proofs and proofs != sealed:
            odd = ["decryption/%012d.json" % number for number in sorted(set(proofs) ^ set(sealed))[:3]]
            raise Failed("proofs of decryption of no record, or records without: %s" % odd)
        for number in proofs:
            file = "decryption/%012d.json" % number
            proof = self.object(file)
            where = "record %d" % proof["leaf"]
            need(file == "decryption/%012d.json" % proof["leaf"], file + " is about another record")
            sealed = "raw/%012d.envelope.json" % proof["leaf"]
            outer = received(self.data(sealed), sealed)
            need(outer["publickey_ver"] == proof["key_version"] in keys, where + ": the proof of decryption is under another key")
            n, e = keys[proof["key_version"]]
            block, under = bytes.fromhex(proof["block"]), base64.b64decode(outer["encrypt_random_key"], validate=True)
            right = len(block) == len(under) == (n.bit_length() + 7) // 8 and block[:2] == b"\0\2"
            right = right and pow(int.from_bytes(block, "big"), e, n) == int.from_bytes(under, "big")
            need(right, where + ": the proof of decryption does not open under the public key")
            words = unsealed(block[2:].partition(b"\0")[2], outer["encrypt_chat_msg"].encode("ascii"))
            need(words and words == self.data("raw/%012d.plain.json" % proof["leaf"]), where + ": the sealed bytes decrypt to other words")

    def check_redaction(self):
        if not self.redacted:
            return
        for folder in ("raw", "media", "custody", "decryption"):
            there = self.names(folder, "") or [known for known in self.files.numbers if known[0] == folder]
            need(not there, "in a redacted set stands what it leaves out: " + folder)
        for entry in self.objects("redaction/log.jsonl"):
            need(self.place(entry["leaf"]) >= 0 and entry["group"] in GROUPS, "masks of no record: %s %s" % (entry["leaf"], entry["group"]))
        for start in range(0, len(self.numbers), AT_ONCE):
            some, told = self.numbers[start : start + AT_ONCE], {}
            for entry in self.objects("redaction/log.jsonl"):
                if some[0] <= entry["leaf"] <= some[-1]:
                    told.setdefault((entry["leaf"], entry["group"]), set()).add(entry["commitment"])
            for leaf in some:
                for name, group in self.proof(leaf)["groups"].items():
                    right = told.get((leaf, name), set()) == ({group["digest"]} if "digest" in group else set())
                    need(right, "record %d: the log of masks does not fit its %s" % (leaf, name))

    def check_table(self):
        pieces, data, at = self.pieces("02-messages.csv"), b"", 0
        rows = itertools.chain([("", table_row(TABLE, b"\xef\xbb\xbf"))], ((line["leaf"], table_row([table_cell(line[n]) for n in TABLE])) for line in self.lines()))
        for leaf, row in rows:
            while len(data) - at < len(row):
                piece = next(pieces, b"")
                need(piece, "the table has fewer rows than there are records")
                data, at = data[at:] + piece, 0
            need(data.startswith(row, at), "record %s: the table says something else" % leaf if leaf != "" else "the table has other columns")
            at += len(row)
        need(at == len(data) and not next(pieces, b""), "the table has more rows than there are records")

    def check_opening(self, path):
        """A group of fields that was opened on order: it must be what the bundle's proof commits to."""
        with open(path, "rb") as file:
            one = parse(file.read(), path)
        where = "record %s" % one["leaf"]
        need(set(one["fields"]) == set(GROUPS[one["group"]]), where + ": other fields than ours")
        group = self.proof(one["leaf"])["groups"][one["group"]]
        shown = group["digest"] if "digest" in group else group_digest(one["group"], group).hex()
        need(group_digest(one["group"], one).hex() == shown, where + ": the opening is not what was committed to")


# The table, docs/formats.md, section 13.
TABLE = (
    "leaf", "origin", "seq", "msgid", "kind", "action", "msgtype", "sent_at_beijing", "sent_at_utc", "conversation_id", "room_id", "direction", "sender_id",
    "sender_name", "sender_seen_as", "sender_kind", "recipient_ids", "text", "recalls_msgid", "original", "recalled_at_ms", "recalled_by", "consent", "consent_source",
    "lawful_basis", "marked", "media",
)  # fmt: skip


def table_row(cells, mark=b""):
    return mark + (",".join('"%s"' % cell.replace('"', '""') for cell in cells) + "\r\n").encode("utf-8", "replace")


def table_cell(value):
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    formula = isinstance(value, str) and value[:1] and value[0] in "=+-@\t\r\n＝＋－＠"
    return "'" + value if formula else str(value)


# Opening a sealed record, docs/formats.md, section 1; AES-256 by FIPS 197, section 5.3, in the form with tables (5.3.5).


def aes_tables():
    def double(a):
        return a << 1 ^ (0x11B if a & 0x80 else 0)

    powers, logs, x = [], {}, 1
    for n in range(255):
        powers.append(x)
        logs[x] = n
        x ^= double(x)
    box = [0] * 256
    for a in range(256):
        b = powers[(255 - logs[a]) % 255] if a else 0
        turned = b
        for shift in range(1, 5):
            turned ^= (b << shift | b >> (8 - shift)) & 0xFF
        box[a] = turned ^ 0x63
    back = [0] * 256
    for a, b in enumerate(box):
        back[b] = a

    def times(a, b):
        return powers[(logs[a] + logs[b]) % 255] if a and b else 0

    mixed = [times(a, 14) << 24 | times(a, 9) << 16 | times(a, 13) << 8 | times(a, 11) for a in back]
    turned = [[(w >> 8 * n | w << (32 - 8 * n)) & 0xFFFFFFFF for w in mixed] for n in range(4)]
    return box, back, turned


AES = []


def aes_keys(key):
    """The 15 round keys of AES-256 for the inverse cipher, four words each."""
    box, _, turned = AES
    words, constant = [int.from_bytes(key[i : i + 4], "big") for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        w = words[-1]
        if i % 8 == 0:
            w = (w << 8 | w >> 24) & 0xFFFFFFFF
        if i % 4 == 0:
            w = box[w >> 24] << 24 | box[w >> 16 & 255] << 16 | box[w >> 8 & 255] << 8 | box[w & 255]
        if i % 8 == 0:
            w, constant = w ^ constant << 24, constant << 1
        words.append(words[i - 8] ^ w)
    rounds = [words[i : i + 4] for i in range(0, 60, 4)]
    a, b, c, d = turned
    inner = [[a[box[w >> 24]] ^ b[box[w >> 16 & 255]] ^ c[box[w >> 8 & 255]] ^ d[box[w & 255]] for w in r] for r in rounds[1:14]]
    return [rounds[14]] + inner[::-1] + [rounds[0]]


def aes_cbc(data, key):
    """The plaintext of IV and AES-256-CBC blocks, its padding taken off; None where that is wrong."""
    if not AES:
        AES.extend(aes_tables())
    _, back, (a, b, c, d) = AES
    keys, made = aes_keys(key[:32].ljust(32, b"\0")), []
    if len(data) < 32 or len(data) % 16:
        return None
    for at in range(16, len(data), 16):
        block = int.from_bytes(data[at : at + 16], "big")
        k = keys[0]
        p, q, r, s = block >> 96 ^ k[0], block >> 64 & 0xFFFFFFFF ^ k[1], block >> 32 & 0xFFFFFFFF ^ k[2], block & 0xFFFFFFFF ^ k[3]
        for k in keys[1:14]:
            p, q, r, s = (
                a[p >> 24] ^ b[s >> 16 & 255] ^ c[r >> 8 & 255] ^ d[q & 255] ^ k[0],
                a[q >> 24] ^ b[p >> 16 & 255] ^ c[s >> 8 & 255] ^ d[r & 255] ^ k[1],
                a[r >> 24] ^ b[q >> 16 & 255] ^ c[p >> 8 & 255] ^ d[s & 255] ^ k[2],
                a[s >> 24] ^ b[r >> 16 & 255] ^ c[q >> 8 & 255] ^ d[p & 255] ^ k[3],
            )
        k, out = keys[14], 0
        for n, (w, x, y, z) in enumerate(((p, s, r, q), (q, p, s, r), (r, q, p, s), (s, r, q, p))):
            word = back[w >> 24] << 24 | back[x >> 16 & 255] << 16 | back[y >> 8 & 255] << 8 | back[z & 255]
            out = out << 32 | word ^ k[n]
        made.append((out ^ int.from_bytes(data[at - 16 : at], "big")).to_bytes(16, "big"))
    plain = b"".join(made)
    count = plain[-1]
    return plain[:-count] if 1 <= count <= 16 and plain.endswith(bytes([count]) * count) else None


def unsealed(random_key, chat_msg):
    """The words of a sealed record; None where it does not open."""
    info = aes_cbc(base64.b64decode(random_key, validate=True), chat_msg[13:45])
    fields, at = {}, 0
    while info and at < len(info):  # protobuf: each field a tag, then a length or a number
        tag, at = number_at(info, at)
        value, at = number_at(info, at)
        if tag & 7 == 2:
            value, at = info[at : at + value], at + value
        fields[tag >> 3] = value
    if set(fields) != {1, 2, 3, 4}:
        return None
    key, before, behind, inside = fields[1], fields[2], fields[3], fields[4]
    begin, end = 45 + before, len(chat_msg) - behind
    body = chat_msg[begin : begin + inside] + chat_msg[begin + 2 * inside : end]
    return aes_cbc(base64.b64decode(body, validate=True), key)


def number_at(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


# Time stamps, RFC 3161: just enough DER to read what a token says. Its signature is for openssl.
DIGESTS = {"608648016503040201": "sha256", "608648016503040202": "sha384", "608648016503040203": "sha512"}


def der(data, where):
    """Return [(tag, content)] of the values one after another."""
    found = []
    while data:
        need(len(data) >= 2, where + " is no time stamp")
        tag, size, start = data[0], data[1], 2
        if size > 127:
            start = 2 + size - 128
            need(size <= 132 and len(data) >= start, where + " is no time stamp")
            size = int.from_bytes(data[2:start], "big")
        need(len(data) >= start + size, where + " is cut")
        found.append((tag, data[start : start + size]))
        data = data[start + size :]
    return found


def stamp_of(answer, where):
    """Return (OID of the digest in hex, digest, time in seconds since 1970, nonce in hex) of a TimeStampResp."""
    status = der(der(answer, where)[0][1], where)
    need(int.from_bytes(der(status[0][1], where)[0][1], "big") == 0, where + " does not hold: the authority refused")
    token = status[1]
    signed = der(der(der(token[1], where)[1][1], where)[0][1], where)
    held = der(der(signed[2][1], where)[1][1], where)  # [0] { OCTET STRING { TSTInfo } }
    info = der(held[0][1], where)
    parts = der(info[0][1], where)
    imprint, when = der(parts[2][1], where), parts[4][1].decode("ascii")
    digest = re.fullmatch(r"(\d{14})(\.\d+)?Z", when)
    need(digest, where + " says no time")
    nonces = [value.hex() for tag, value in parts[5:] if tag == 2]
    return der(imprint[0][1], where)[0][1].hex(), imprint[1][1], calendar.timegm(time.strptime(digest[1], "%Y%m%d%H%M%S")), "".join(nonces)


def nonce_of(request, where):
    return "".join(value.hex() for tag, value in der(der(request, where)[0][1], where)[2:] if tag == 2)


def openssl(note, answer, pem, when):
    """Return whether openssl finds the signature valid, with a chain that was valid at that time; None when it cannot tell."""
    program = shutil.which("openssl")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("note", note), ("tsr", answer), ("pem", pem)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        words = [program, "ts", "-verify", "-data", "note", "-in", "tsr", "-CAfile", "pem", "-attime", str(when)]
        try:
            ended = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return None
    if b"Verification: OK" in ended.stdout and ended.returncode == 0:
        return True
    return False if b"Verification: FAILED" in ended.stdout else None


# Pages, docs/formats.md, sections 13 and 15: what stands in <main>, piece by piece, in the head and at the end; nothing else may.
STYLES = {
    "5743edfc836dda38fc4eaa0f779e9abe8e8e15a74ab5a82f5ba1ffaefb9831de": "",
    "e31c98c93368343d546744f28607c52230ede97b698232c39938d016d05a9c3b": "zh",
    "4a0dfa1ddc4266c766cc0c0ca5f2dd4a3bf3f209186c6a58d8376d543a5794d0": "en",

}
WORDS = {
    "weekday.0": ("星期一", "Monday"), "weekday.1": ("星期二", "Tuesday"), "weekday.2": ("星期三", "Wednesday"), "weekday.3": ("星期四", "Thursday"),
    "weekday.4": ("星期五", "Friday"), "weekday.5": ("星期六", "Saturday"), "weekday.6": ("星期日", "Sunday"), "sender_kind.employee": ("员工", "employee"),
    "sender_kind.external": ("客户/外部", "external"), "sender_kind.robot": ("机器人", "robot"), "sender_kind.unknown": ("身份未知", "unknown"),
    "media_status.pending": ("待下载", "to be fetched"), "media_status.verified": ("已下载并核对", "fetched and verified"),
    "media_status.unverifiable": ("已下载，来源未给校验值", "fetched, the source gave no digest"),
    "media_status.mismatch": ("已下载，校验值不符", "fetched, digest does not match"), "media_status.expired": ("已过期，无法下载", "expired, cannot be fetched"),
    "media_status.missing": ("来源没有此文件", "the source does not have it"), "media_status.too_large": ("超过大小上限，未下载", "above the size limit, not fetched"),
    "media_status.withheld": ("未下载（已拒存）", "not fetched (withheld)"), "media_status.unknown": ("状态未登记", "no state recorded"),
    "msgtype.text": ("文本", "text"), "msgtype.image": ("图片", "picture"), "msgtype.revoke": ("撤回", "recall"), "msgtype.agree": ("同意存档", "consent given"),
    "msgtype.disagree": ("不同意存档", "consent refused"), "msgtype.voice": ("语音", "voice"), "msgtype.video": ("视频", "video"),
    "msgtype.card": ("名片", "contact card"), "msgtype.location": ("位置", "location"), "msgtype.emotion": ("表情", "sticker"), "msgtype.file": ("文件", "file"),
    "msgtype.link": ("链接", "link"), "msgtype.weapp": ("小程序", "mini-program"), "msgtype.chatrecord": ("转发的聊天记录", "forwarded chat"),
    "msgtype.todo": ("待办", "to-do"), "msgtype.vote": ("投票", "vote"), "msgtype.collect": ("填表", "form"), "msgtype.redpacket": ("红包", "red packet"),
    "msgtype.external_redpacket": ("互通红包", "external red packet"), "msgtype.meeting": ("会议邀请", "meeting"),
    "msgtype.meeting_notification": ("会议控制消息", "meeting notice"), "msgtype.docmsg": ("在线文档", "online document"), "msgtype.markdown": ("Markdown", "markdown"),
    "msgtype.news": ("图文", "news"), "msgtype.calendar": ("日程", "calendar"), "msgtype.mixed": ("混合消息", "mixed"),
    "msgtype.meeting_voice_call": ("通话录音", "call recording"), "msgtype.voip_doc_share": ("通话共享文档", "document shared in a call"),
    "msgtype.sphfeed": ("视频号", "channels post"), "msgtype.voiptext": ("通话记录", "call entry"), "msgtype.qydiskfile": ("微盘文件", "drive file"),
    "msgtype.solitaire": ("接龙", "sign-up list"), "msgtype.note": ("笔记", "note"), "part.title": ("标题", "title"), "part.description": ("描述", "description"),
    "part.content": ("内容", "content"), "part.link_url": ("链接地址", "link address"), "part.url": ("链接地址", "link address"),
    "part.filename": ("文件名", "file name"), "part.address": ("地址", "address"), "part.displayname": ("小程序名称", "mini-program name"),
    "part.corpname": ("企业名称", "corporation"), "part.userid": ("名片账号", "id on the card"), "part.wish": ("祝福语", "wish"), "part.topic": ("主题", "topic"),
    "part.remarks": ("备注", "remarks"), "part.place": ("地点", "place"), "part.votetitle": ("投票主题", "vote"), "part.voteitem": ("选项", "option"),
    "part.room_name": ("群名称", "room name"), "part.creator": ("创建人", "created by"), "part.creatorname": ("创建人", "created by"),
    "part.attendeename": ("参与人", "attendee"), "part.doc_creator": ("文档创建人", "document created by"), "part.ques": ("表项", "question"),
    "part.sph_name": ("视频号名称", "channel"), "part.feed_desc": ("视频号描述", "post"), "part.solitaire_content": ("接龙内容", "sign-up list"),
    "part.username": ("原始账号", "account"), "uninspected.title": ("以下内容未经关键词检查", "Not inspected for words"),
    "uninspected.none": ("所示范围内没有已知的未检查内容", "nothing in the range is known to be uninspected"),
    "uninspected.pictures": ("图片与表情 {n:,} 个（不识别图中文字）", "pictures and stickers: {n:,} (words in pictures are not read)"),
    "uninspected.voice": ("语音与通话录音 {n:,} 个（不转写）", "voice and call recordings: {n:,} (not transcribed)"),
    "uninspected.videos": ("视频 {n:,} 个", "videos: {n:,}"), "uninspected.files": ("文件 {n:,} 个（只检查文件名）", "files: {n:,} (only their names are read)"),
    "uninspected.unopened": ("未能打开的记录 {n:,} 条", "records that could not be opened: {n:,}"),
    "uninspected.pending": ("待决记录 {n:,} 条", "pending records: {n:,}"), "uninspected.withheld": ("已拒存记录 {n:,} 条", "withheld records: {n:,}"),
    "uninspected.restricted": ("受限记录 {n:,} 条", "restricted records: {n:,}"), "uninspected.gaps": ("缺口 {n:,} 处", "gaps: {n:,}"),
    "consent.agree": ("已同意", "agreed"), "consent.default_agree": ("默认同意", "agreed by default"), "consent.not_required": ("无需同意", "not required"),
    "consent.unknown": ("未表态", "no answer known"), "origin.sealed": ("企业微信密文", "sealed by WeCom"),
    "origin.imported": ("导入（已解密）", "imported (already opened)"), "demo.mark": ("演示 DEMO", "DEMO"),
    "demo.banner": ("演示数据 DEMO：公司、人员与聊天内容均为虚构，不得作为证据使用", "DEMO DATA: the firm, the people and the messages are made up; not evidence"),
    "mode.single": (
        "单人模式：本存档未配置角色，所有者可执行一切操作；每次操作均有记录",
        "single mode: no roles are configured, the owner may do everything; every call is recorded",
    ),
    "time.note": ("时间为北京时间（UTC+8），括号内为 UTC", "times are Beijing time (UTC+8), UTC in brackets"), "time.unknown": ("时间未知", "time unknown"),
    "value.unknown": ("未知", "unknown"), "list.join": ("、", ", "), "size.bytes": ("{n:,} 字节", "{n:,} bytes"), "col.seq": ("序号", "seq"),
    "col.consent": ("同意状态", "consent"), "conversation.title": ("会话记录", "Conversation"), "conversation.room": ("群聊", "Room"),
    "conversation.single": ("单聊", "Single chat"), "conversation.id": ("会话编号", "conversation id"), "conversation.period": ("所示期间", "period shown"),
    "conversation.participants": ("参与人", "People"), "conversation.seen_as": ("客户所见：{name}", "seen by customers as {name}"),
    "conversation.part": ("部分", "part"),
    "conversation.part_of": ("第 {n} 部分，共 {of} 部分；以下数目与人员仅就本部分而言", "{n} of {of}; the numbers and people below are those of this part"),
    "conversation.spoke": ("{n:,} 条", "messages: {n:,}"), "conversation.messages": ("消息", "messages"), "conversation.recalls": ("撤回", "recalls"),
    "conversation.media": ("媒体", "media"), "conversation.held": ("未打开", "unopened"), "conversation.gaps": ("缺口", "gaps"),
    "conversation.empty": ("所示范围内没有消息", "no messages in the range"),
    "conversation.recalled": ("此消息已于 {at} 由 {who} 撤回，原文保留", "recalled at {at} by {who}; the original is kept"),
    "conversation.recalled_no_time": ("此消息已由 {who} 撤回（撤回时间未知），原文保留", "recalled by {who} (time unknown); the original is kept"),
    "conversation.recall": ("{who} 撤回了 {at} 发送的消息，原文保留", "{who} recalled the message of {at}; the original is kept"),
    "conversation.recall_elsewhere": ("{who} 撤回了一条消息；原消息不在本会话的存档中", "{who} recalled a message that is not in the archive of this conversation"),
    "conversation.gap": (
        "存档缺口：序号 {after} 与 {before} 之间，{from_at} 至 {to_at}，此间消息可能缺失。原因：{cause}",
        "gap in the archive: between seq {after} and {before}, {from_at} to {to_at}; messages may be missing here. Cause: {cause}",
    ),
    "conversation.held.withheld": ("{n:,} 条已拒存：客户不同意存档，封存未打开", "{n:,} withheld: the customer refused; sealed, not opened"),
    "conversation.held.pending": ("{n:,} 条待决：同意状态未定，封存未打开", "{n:,} pending: consent is not settled; sealed, not opened"),
    "conversation.held.restricted": ("{n:,} 条受限：事后得知不同意，不予显示", "{n:,} restricted: a refusal became known later; not shown"),
    "conversation.held.failed": ("{n:,} 条未能打开，封存原件保留", "{n:,} could not be opened; the sealed originals are kept"),
    "conversation.held.removed": ("{n:,} 条已按批准移除", "{n:,} removed with approval"), "conversation.no_text": ("（没有可读文字）", "(no readable text)"),
    "conversation.time_unknown": ("发送时间未知，按序号排列", "time of sending unknown, placed by seq"), "conversation.captured": ("采集于 {at}", "captured {at}"),
    "conversation.name_other_time": ("* 该姓名不是发送当时的登记，仅供参考", "* the name is not recorded for that time, it is given for orientation"),
    "conversation.marks_none": ("本页未附关键词标记", "this page carries no findings"),
    "conversation.invisible_note": ("形如 ⟨U+200B⟩ 的标记表示原文中不可见的字符", "marks like ⟨U+200B⟩ stand for invisible characters of the text"),
    "conversation.masked_note": ("个人敏感信息已等长遮盖", "personal data is masked with equal length"), "conversation.made": ("本页生成", "page made"),
    "conversation.program": ("程序", "program"), "conversation.stand": ("存档版本", "archive version"),
    "conversation.declared_md5": ("MD5（平台声明）", "MD5 (as declared)"), "conversation.sha256": ("SHA-256", "SHA-256"),
}  # fmt: skip
LANGS = ("zh", "en")
ZONE = 8 * 3600000  # Beijing
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
UNREAD = {"image": "pictures", "emotion": "pictures", "voice": "voice", "meeting_voice_call": "voice", "video": "videos"}
ENDINGS = {
    "pdf": "PDF OFD", "text": "DOC DOCX WPS RTF TXT MD", "sheet": "XLS XLSX ET CSV", "talk": "PPT PPTX DPS", "pack": "ZIP RAR 7Z GZ TAR",
    "sound": "MP3 AMR WAV M4A", "film": "MP4 MOV AVI MKV",
}  # fmt: skip
HEAD = re.compile(
    r"""<!DOCTYPE html>
<html lang="(?P<lang>zh-CN|en)">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>(?P<title>[^<]*)</title>
<style>(?P<style>[^<]*)</style>
</head>
<body>
(?:<div class="demo">(?P<demo>[^<]*)</div>
)?<div class="sheet quiet">
<header class="card">
  <p class="kicker">(?P<kicker>[^<]*)</p>
  <h1>(?P<h1>[^<]*)</h1>
  <dl class="facts">
(?P<facts>(?:    <dt>[^<]*</dt><dd(?: class="mono")?>[^<]*</dd>
)*)  </dl>
  <ul class="tiles">
(?P<tiles>(?:    <li(?: class="warn")?><b>[0-9,]+</b><span>[^<]*</span></li>
){5})  </ul>
</header>
(?:<section class="card">
  <h2>(?P<h2>[^<]*)</h2>
  <ul class="people">
(?P<people>(?:    <li>[^\n]*</li>
)+)  </ul>
(?:  <p class="hint">(?P<other>[^<]*)</p>
)?</section>
)?<p class="hint">(?P<none>[^<]*)</p>
<main>
"""
)
PERSON = re.compile(r'    <li><bdi><b>([^<]*)</b></bdi>(?: <bdi class="mono">([^<]*)</bdi>)? <i>([^<]*)</i></li>\n')
FACT = re.compile(r'    <dt>([^<]*)</dt><dd(?: class="mono")?>([^<]*)</dd>\n')
TILE = re.compile(r"    <li( class=\"warn\")?><b>([^<]*)</b><span>([^<]*)</span></li>\n")
END = re.compile(
    r"""</main>
<section class="card end">
  <h2>(?P<h2>[^<]*)</h2>
(?:  <ul>
(?P<list>(?:    <li>[^<]*</li>
)+)  </ul>
|  <p class="hint">(?P<none>[^<]*)</p>
)  <p class="hint">(?P<hint>[^<]*)</p>
(?:  <p class="hint">(?P<mode>[^<]*)</p>
)?  <dl class="facts">
(?P<facts>(?:    <dt>[^<]*</dt><dd>[^<]*</dd>
)*)  </dl>
</section>
</div>
</body>
</html>\n?"""
)
WITHIN = r'(?:[^<]|<span\ class="(?:label|u)">[^<]*</span>|</?q>)*'
PIECES = re.compile(
    r"""\s*(?:<article\ class="row\ (?P<class>own|other)(?P<robot>\ robot)?(?P<recalled>\ recalled)?"\ id="m[0-9]+"\ data-msgid="(?P<msgid>[^"]*)">
    \s*<div\ class="msg">\s*<div\ class="face"\ aria-hidden="true">(?P<face>[^<]*)</div>\s*<div\ class="body">
    \s*<div\ class="who"><bdi><b>(?P<name>[^<]*)</b></bdi>(?:\ <bdi\ class="mono">(?P<id>[^<]*)</bdi>)?(?P<kind>[^<]*)
        <time(?:\ datetime="(?P<iso>[^"]*)"\ title="(?P<title>[^"]*)")?>(?P<clock>[^<]*)</time></div>
    \s*<div\ class="bubble">(?:\s*<p\ class="type">(?P<type>[^<]*)</p>)?(?P<said>(?:\s*<p\ class="t">@WITHIN</p>)*)
        (?P<files>(?:\s*<p\ class="file">(?:[^<]|<span\ [^<>]*>[^<]*</span>)*</p>)*)\s*</div>
    (?P<was>(?:\s*<div\ class="was">[^<]*</div>)*)\s*<div\ class="meta">(?P<m1>[^<]*)<span\ class="mono">(?P<m2>[^<]*)</span>(?P<m3>[^<]*)</div>
    \s*</div>\s*</div>\s*<aside\ class="notes"></aside>\s*</article>
    |<div\ class="row"\ data-msgid="(?P<recall>[^"]*)"><div\ class="event"><time(?:\ datetime="(?P<at>[^"]*)"\ title="(?P<full>[^"]*)")?>(?P<hour>[^<]*)</time>
        (?P<arrow>[^<]*)(?:<a\ href="\#m[0-9]+">(?P<link>[^<]*)</a>)?
        <span\ class="meta">(?P<r1>[^<]*)<span\ class="mono">(?P<r2>[^<]*)</span></span></div></div>
    |<div\ class="day">(?P<day>[^<]*)</div>|<div\ class="row"><div\ class="event\ (?P<note>gap|held)">(?P<words>[^<]*)</div></div>
    |<p\ class="hint">(?P<empty>[^<]*)</p>)\s*""".replace("@WITHIN", WITHIN),
    re.X,
)
FILE = re.compile(r'<p class="file"><span class="icon k-([a-z]+)" aria-hidden="true">([^<]*)</span>([^<]*)(?:<span class="sum mono">([^<]*)</span>)?</p>')
SIGN = re.compile("\u27e8U\\+([0-9A-F]{4,5}|10[0-9A-F]{4})\u27e9")  # stands for a character that nobody would see


def plain(text):
    return SIGN.sub(lambda found: chr(int(found[1], 16)), re.sub("\r\n|[\r\n]", "\u23ce", text).replace("\t", " "))


def text_of(found):
    """What stands there, as it is compared; None for nothing."""
    return None if found is None else plain(html.unescape(found))


def word(key, lang, **values):
    return WORDS[key][lang == "en"].format(**values)


def label(group, value, lang):
    found = WORDS.get("%s.%s" % (group, value))
    return found[lang == "en"] if found else plain(str(value))


def utc(at):
    here, there = time.gmtime((at + ZONE) // 1000), time.gmtime(at // 1000)
    return time.strftime("%H:%M:%SZ" if here[:3] == there[:3] else "%Y-%m-%d %H:%M:%SZ", there)


def beijing(at, lang):
    if at is None:
        return word("time.unknown", lang)
    return "%s (%s)" % (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime((at + ZONE) // 1000)), utc(at))


def iso(at):
    return None if at is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime((at + ZONE) // 1000)) + ".%03d+08:00" % (at % 1000)


def day_title(date, lang):
    year, month, day = map(int, date.split("-"))
    weekday = word("weekday.%d" % calendar.weekday(year, month, day), lang)
    return "%d年%d月%d日 %s" % (year, month, day, weekday) if lang == "zh" else "%s %d %s %d" % (weekday, day, MONTHS[month - 1], year)


def person_key(who, kind):
    return "".join(c.lower() if c.isascii() else c for c in who) if kind == "employee" else who


class People:
    """Who the accounts of a bundle were, by identity/accounts.jsonl."""

    def __init__(self, accounts):
        self.rows, self.names, self.seen = {}, {}, {}
        for one in accounts:
            names = self.names.setdefault(one["id"].lower(), set())
            if one["says"] != "directory" or not one["name"]:
                continue
            self.rows.setdefault(person_key(one["id"], one["kind"]), []).append((one["valid_from"], one["valid_to"]))
            names.add(plain(one["name"]))
            saw = one["customer_saw"]
            if saw:
                self.seen.setdefault(one["id"].lower(), set()).add(plain("%s@%s" % (saw["name"], saw["firm"]) if saw.get("firm") else saw["name"]))

    def star(self, who, kind, at):
        """What stands behind a name: a star where it is one of another time."""
        rows = self.rows.get(person_key(who, kind), [])
        valid = [1 for since, until in rows if at is None or ((since is None or since <= at) and (until is None or at < until))]
        return "*" if rows and not valid else ""

    def named(self, name, who):
        """Whether this account may be called so: by a name that the bundle knows of it, or by its id."""
        names = self.names.get(who.lower())
        return names is not None and (name == who or name in names or (name.endswith("*") and name[:-1] in names))

    def bare(self, text, keys, lang):
        """A sentence in which somebody is named by name and id, with the id alone, where the bundle knows the account by that name."""
        for key in keys:
            pattern = re.escape(word(key, lang, who="@WHO", at="@AT")).replace("@WHO", "(?P<who>.*)").replace("@AT", "(?P<at>.*)")
            found = re.fullmatch("\u21a9 " + pattern, text, re.S)
            who = found and re.fullmatch(r"(.*) \((.*)\)", found["who"], re.S)
            if who and self.named(who[1], who[2]):
                return "\u21a9 " + word(key, lang, who=who[2], at=found.groupdict().get("at"))
        return text


def block_label(path, lang):
    leaf = re.sub(r"\[\d+\]", "", path.rsplit(".", 1)[-1])
    name = "" if leaf in ("content", "text", "solitaire_content") or "." not in path else label("part", plain(leaf), lang)
    items = [] if path.startswith("mixed.") else [str(int(n) + 1) for n in re.findall(r"item\[(\d{1,6})\]", path)]
    return " · ".join(one for one in (".".join(items), name) if one)


def file_of(item, lang):
    """What a page shows of a file: the kind and letters of its sign, its words, its digest."""
    name, kind = plain(item["file_name"] or ""), plain(item["kind"])
    found = re.search(r"\.([0-9A-Za-z]{1,5})\Z", name)
    ending = found[1].upper() if found else ""
    sign = next((k for k, known in ENDINGS.items() if ending in known.split()), "other")
    if kind in ("video", "voice", "meeting_voice_call"):
        sign = "film" if kind == "video" else "sound"
    letters = ending or {"video": "\u25b6", "voice": "\u266a", "meeting_voice_call": "\u266a"}.get(kind) or label("msgtype", kind, lang)[:2]
    size = item["size"] if item["size"] is not None else item["declared_size"]
    words = [("%s %s" % (label("msgtype", kind, lang), name)).strip(), "" if size is None else word("size.bytes", lang, n=size)]
    words.append(label("media_status", item["status"] or "unknown", lang))
    sums = [word("conversation." + k, lang) + " " + plain(item[k]) for k in ("sha256", "declared_md5") if item[k]]
    return [sign, plain(letters), plain(word("list.join", lang).join(w for w in words if w)), sums[0] if sums else None]


def type_of(line, said, lang, unread):
    """What a page says of the kind of a message whose words and files do not say it."""
    empty = not (said or line["media"])
    evident = line["msgtype"] in ("text", "mixed") or any(m["kind"] == line["msgtype"] for m in line["media"])
    name = "" if evident and not empty else label("msgtype", plain(line["msgtype"] or ""), lang)
    return (name + (word("conversation.no_text", lang) + unread(line, lang) if empty else "")) or None


def parts_of(line):
    return line["parts"] or ([{"path": "text", "text": line["text"]}] if line["text"] else [])


def ids_of(line, lang):
    """What stands before a record's id on a page."""
    at = line["sent_at_ms"]
    words = [utc(at)] if at is not None else []
    words.append("%s %s" % (word("col.seq", lang), line["seq"]))
    return " · ".join(words + ([label("origin", line["origin"], lang)] if line["origin"] != "sealed" else []) + [""])


class Shown:
    """What pages must show of the records of a bundle. conversations: id -> _Conversation; originals: of recalls, id -> (conversation, time)."""

    def __init__(self, bundle, people):
        self.bundle, self.people, self.conversations, self.originals = bundle, people, {}, {}
        wanted = set()
        for line in bundle.lines():
            one = self.conversations.setdefault(line["conversation_id"], {"internal": True, "room": bool(line["room_id"])})
            one["internal"] = one["internal"] and line["direction"] == "internal"
            if line["kind"] == "recall":
                wanted.add(line["recalls_msgid"])
        for line in bundle.lines() if wanted else ():
            if line["msgid"] in wanted and line["kind"] != "recall":
                self.originals[line["msgid"]] = line["conversation_id"], line["sent_at_ms"]

    def of(self, line, number, lang):
        """A digest of it."""
        return digest_of(self.recall(line, number, lang) if line["kind"] == "recall" else self.message(line, number, lang))

    def recall(self, line, number, lang):
        at, who = line["sent_at_ms"], plain(line["sender_id"] or "") or "?"
        conversation, sent = self.originals.get(line["recalls_msgid"], (None, None))
        if conversation == line["conversation_id"]:
            told = word("conversation.recall", lang, who=who, at=beijing(sent, lang))
        else:
            told = word("conversation.recall_elsewhere", lang, who=who)
        return [number, iso(at), beijing(at, lang) if at is not None else None, self.hour(at, lang), "\u21a9 " + told, ids_of(line, lang), plain(line["msgid"])]

    def hour(self, at, lang):
        return word("time.unknown", lang) if at is None else iso(at)[11:19]

    def message(self, line, number, lang):
        at, who, kind = line["sent_at_ms"], line["sender_id"] or "", line["sender_kind"]
        own = None if self.conversations[line["conversation_id"]]["internal"] else kind == "employee"
        said = parts_of(line)
        recalled = line["recalled_at_ms"] is not None or bool(line["recalled_by"])
        was = []
        if recalled:
            by = plain(line["recalled_by"]) if line["recalled_by"] else word("value.unknown", lang)
            key = "conversation.recalled" if line["recalled_at_ms"] is not None else "conversation.recalled_no_time"
            was.append("\u21a9 " + word(key, lang, who=by, at=beijing(line["recalled_at_ms"], lang)))
        if at is None:
            captured = word("conversation.captured", lang, at=beijing(line["captured_at_ms"], lang))
            was.append(word("conversation.time_unknown", lang) + " · " + captured)
        return [
            number, own, kind == "robot", recalled, plain(line["sender_name"] or who) + self.people.star(who, kind, at), plain(who) if line["sender_name"] else None,
            " · " + label("sender_kind", kind, lang), iso(at), beijing(at, lang) if at is not None else None, self.hour(at, lang),
            type_of(line, said, lang, self.unread), [[plain(block_label(p["path"], lang)), p["text"]] for p in said], [file_of(m, lang) for m in line["media"]], was,
            ids_of(line, lang), plain(line["msgid"]), " · %s %s" % (word("col.consent", lang), label("consent", line["consent"] or "unknown", lang)),
        ]  # fmt: skip

    def unread(self, line, lang):
        """Digest and size of the JSON of a record in which nothing can be read; a redacted set does not tell the digest, nor hold the bytes."""
        if self.bundle.redacted:
            return " · ?"
        data = self.bundle.data("raw/%012d.plain.json" % line["leaf"])
        return " · SHA-256 %s · %s" % (hashlib.sha256(data).hexdigest(), word("size.bytes", lang, n=len(data)))


def digest_of(value):
    return hashlib.sha256(json.dumps(value).encode()).digest()


def gap_text(gap, lang):
    unknown = word("value.unknown", lang)
    after, before = (unknown if gap[k] is None else gap[k] for k in ("after_seq", "before_seq"))
    times = {"from_at": beijing(gap["from_at"], lang), "to_at": beijing(gap["to_at"], lang)}
    return plain(word("conversation.gap", lang, after=after, before=before, cause=plain(gap["cause"] or "") or unknown, **times))


class Marks:
    """Whether two collections hold the same, nothing of them being kept: the sum of keyed digests (MSet-Add-Hash) under a key that is drawn here,
    after the bundle was made; who made it cannot aim at it."""

    def __init__(self):
        self.key, self.sum = os.urandom(32), 0

    def of(self, msgid, digest):
        return int.from_bytes(hashlib.blake2b(digest + msgid.encode("utf-8", "surrogatepass"), key=self.key).digest(), "big")

    def add(self, msgid, digest):
        self.sum += self.of(msgid, digest)

    def take(self, msgid, digest):
        self.sum -= self.of(msgid, digest)


class Page:
    """A page: what it shows of each message, and what it says of itself."""

    def __init__(self, text, file, lang, about, last):
        """about: number, id, internal, room, people, gaps (text -> (time, seq)), redacted …; last: what came last on the part before.

        fault: the first thing that is wrong beside the messages; what is wrong with a message is told before it."""
        self.file, self.lang, self.about = file, lang, about
        self.shown, self.last, self.days, self.today, self.fault = [], last, [], None, None
        self.spoke, self.own, self.held, self.gaps, self.kinds, self.recalls = {}, set(), {}, [], {}, 0
        begin, end = text.find("<main>\n"), text.find("</main>\n")
        strict = text.startswith("<!DOCTYPE html>\n<html ") and text.count("<main>") == 1 and 0 < begin < end
        need(strict and text.count("<style>") == 1, file + " is no page of ours")
        self.head, self.end = HEAD.fullmatch(text, 0, begin + 7), END.fullmatch(text, end)
        at = begin + 7
        while at < end:
            piece = PIECES.match(text, at, end)
            need(piece, self.behind("what we do not write"))
            at = piece.end()
            self.take(piece)
        self.want(not self.days, self.behind("what we do not write: a day"))
        self.want(self.head and self.end, file + ": what we do not write stands in its head or at its end")
        if self.head and self.end:
            self.check_head()
            self.check_end()

    def want(self, condition, what):
        if not condition and self.fault is None:
            self.fault = what

    def behind(self, what):
        return "%s: behind %s stands %s" % (self.file, self.shown[-1][0] if self.shown else "its beginning", what)

    def take(self, piece):
        if piece["recall"] is not None:
            self.recalls += 1
            self.step(piece["at"], piece["r1"])
            words = text_of(piece["arrow"]) + text_of(piece["link"] or "")
            words = self.about["people"].bare(words, ("conversation.recall", "conversation.recall_elsewhere"), self.lang)
            told = [self.about["number"], piece["at"], text_of(piece["full"]), text_of(piece["hour"]), words, text_of(piece["r1"]), text_of(piece["r2"])]
            self.shown.append((html.unescape(piece["recall"]), digest_of(told)))
        elif piece["msgid"] is not None:
            self.step(piece["iso"], piece["m1"])
            self.shown.append((html.unescape(piece["msgid"]), self.message(piece)))
        elif piece["day"] is not None:
            self.days.append(text_of(piece["day"]))
        elif piece["note"] == "held":
            self.hold(text_of(piece["words"]))
        elif piece["note"] == "gap":
            words = text_of(piece["words"])
            self.want(words in self.about["gaps"], self.behind("a gap that the bundle does not list"))
            self.day_of(*self.about["gaps"].get(words, (None, 0)))
            self.gaps.append(words)
        else:
            alone = not (self.shown or self.held or self.gaps)
            self.want(alone and text_of(piece["empty"]) == word("conversation.empty", self.lang), self.behind("what we do not write: words"))

    def step(self, at, ids):
        found = re.search(r" ([0-9]{1,20}) · (?:([^·]*) · )?$", ids)
        self.day_of(at, int(found[1]) if found else 0, "imported" if found and found[2] else "sealed")

    def day_of(self, at, seq, origin="sealed"):
        """The day of what comes now stands before it, once; what has a time comes after what has an earlier one."""
        if at is None:
            self.want(not self.days, self.behind("what we do not write: a day"))
            return
        date = at[:10]
        try:
            title = day_title(date, self.lang)
        except (ValueError, IndexError):
            title = None
        self.want(self.days == ([] if date == self.today else [title]), self.behind("what we do not write: another day, or none"))
        self.days, self.today = [], date
        self.want(self.last is None or self.last <= (at, origin, seq), self.behind("what comes earlier: another order"))
        self.last = at, origin, seq

    def hold(self, words):
        for fate in ("withheld", "pending", "restricted", "failed", "removed"):
            found = re.fullmatch(re.escape(word("conversation.held." + fate, self.lang, n=0)).replace("0", "([0-9,]+)", 1), words)
            if found and format(int(found[1].replace(",", "")), ",") == found[1]:
                self.held[fate] = self.held.get(fate, 0) + int(found[1].replace(",", ""))
                return
        self.want(False, self.behind("what we do not write: words"))

    def message(self, piece):
        name, who = html.unescape(piece["name"]), text_of(piece["id"] if piece["id"] is not None else piece["name"])
        own, kind = piece["class"] == "own", text_of(piece["kind"])
        if own:
            self.own.add(who.lower())
        key = person_key(who, "employee" if kind == " · " + word("sender_kind.employee", self.lang) else None)
        self.spoke[key] = self.spoke.get(key, 0) + 1
        said = []
        for one in re.findall(r'<p class="t">(.*?)</p>', piece["said"], re.S):
            beside = re.match(r'<span class="label">([^<]*)</span>', one)
            one = one[beside.end() :] if beside else one
            one = re.sub(r'<span class="u">([^<]*)</span>', lambda sign: plain(sign[1]) if SIGN.fullmatch(sign[1]) else "<", one)
            said.append([text_of(beside[1]) if beside else "", html.unescape(re.sub("</?q>", "", one))])
        files = []
        for one in re.findall(r'<p class="file">.*?</p>', piece["files"], re.S):
            found = FILE.fullmatch(one)
            files.append([found[1]] + [text_of(found[n]) for n in (2, 3, 4)] if found else "?")
            if found:
                behind = "( |$|%s)" % re.escape(word("list.join", self.lang))
                kinds = [k for k in UNREAD if re.match(re.escape(word("msgtype." + k, self.lang)) + behind, files[-1][2])]
                bucket = UNREAD[kinds[0]] if kinds else "files"
                self.kinds[bucket] = self.kinds.get(bucket, 0) + 1
        type_ = text_of(piece["type"])
        if self.about["redacted"] and type_ and not said and not files:
            type_ = re.sub(r" · [0-9,]+ (?:字节|bytes)$", " · ?", type_)
        was = [text_of(one) for one in re.findall(r'<div class="was">([^<]*)</div>', piece["was"])]
        was = [self.about["people"].bare(one, ("conversation.recalled", "conversation.recalled_no_time"), self.lang) for one in was]
        told = [
            self.about["number"], None if self.about["internal"] else own, bool(piece["robot"]), bool(piece["recalled"]), plain(name), text_of(piece["id"]), kind,
            text_of(piece["iso"]), text_of(piece["title"]), text_of(piece["clock"]), type_, said, files, was, text_of(piece["m1"]), text_of(piece["m2"]), text_of(piece["m3"]),
        ]  # fmt: skip
        return digest_of(told if html.unescape(piece["face"]) == (name[:1] or "?") else [told, piece["face"]])

    def say(self, key, **values):
        return word("conversation." + key, self.lang, **values)

    def check_head(self):
        head, about, lang = self.head, self.about, self.lang
        where = self.file + ": what we do not write stands in its head: "
        demo = text_of(head["demo"])
        right = head["lang"] == ("zh-CN" if lang == "zh" else "en") and demo in (None, word("demo.banner", lang))
        title = [word("demo.mark", lang)] * (demo is not None) + [self.say("title"), plain(about["id"])]
        self.want(right and text_of(head["title"]) == " · ".join(title), where + "title")
        self.want(STYLES.get(hashlib.sha256(head["style"].encode()).hexdigest()) == ("" if demo is None else lang), where + "a style that is not in the list")
        self.want(text_of(head["kicker"]) == "%s · %s" % (plain(about["corp"]), self.say("room" if about["room"] else "single")), where + "kicker")
        self.want(text_of(head["h1"]) == self.say("title") and text_of(head["none"]) == self.say("marks_none"), where + "words")
        facts = [[self.say("id"), plain(about["id"])]]
        facts += [[self.say("part"), self.say("part_of", n=about["part"][0], of=about["part"][1])]] if about["part"] else []
        first, last = about["days"]
        facts += [[self.say("period"), "%s – %s" % (first or "…", last or "…")]] if first or last else []
        self.want([[text_of(one) for one in found] for found in FACT.findall(head["facts"])] == facts, where + "facts")
        self.messages = len(self.shown) - self.recalls
        counts = [self.messages, self.recalls, sum(self.kinds.values()), sum(self.held.values()), len(self.gaps)]
        names = ("messages", "recalls", "media", "held", "gaps")
        tiles = [(' class="warn"' if name == "gaps" and n else "", format(n, ","), self.say(name)) for name, n in zip(names, counts)]  # noqa: B905
        self.want([(warn, n, text_of(one)) for warn, n, one in TILE.findall(head["tiles"])] == tiles, where + "numbers")
        self.check_people(where)

    def check_people(self, where):
        head, people, spoke, starred = self.head, self.about["people"], dict(self.spoke), False
        rows = PERSON.findall(head["people"] or "")
        self.want(len(rows) == (head["people"] or "").count("\n"), where + "people")
        self.want((head["h2"] is None) == (not self.messages) and (head["h2"] is None or text_of(head["h2"]) == self.say("participants")), where + "people")
        for name, who, beside in rows:
            name, who, beside = text_of(name), text_of(who or name), text_of(beside)
            self.want(people.named(name, who), "%s%s is called %s" % (where, who, name))
            starred = starred or (name.endswith("*") and name not in people.names.get(who.lower(), ()))
            kinds = [k for k in ("employee", "external", "robot", "unknown") if beside.startswith(word("sender_kind." + k, self.lang) + " · ")]
            self.want(kinds, "%swhat %s is" % (where, who))
            n = spoke.pop(person_key(who, kinds[0]), 0)
            told = " · ".join([word("sender_kind." + kinds[0], self.lang), self.say("spoke", n=n)])
            if beside != told:
                seen = re.fullmatch(re.escape(" · " + self.say("seen_as", name="@")).replace("@", "(.*)"), beside[len(told) :]) if beside.startswith(told) else None
                known = people.seen.get(who.lower(), set())
                self.want(seen and (seen[1] in known or all(one in known for one in seen[1].split("、"))), "%swhat is said of %s" % (where, who))
        self.want(not spoke, where + "somebody who spoke is not among the people")
        self.want((text_of(head["other"]) if head["other"] else None) == (self.say("name_other_time") if starred else None), where + "words")

    def check_end(self):
        end, about, lang = self.end, self.about, self.lang
        where = self.file + ": what we do not write stands at its end: "
        counts = dict(self.kinds, gaps=len(self.gaps), **{"unopened" if fate == "failed" else fate: n for fate, n in self.held.items()})
        names = ("pictures", "voice", "videos", "files", "unopened", "pending", "withheld", "restricted", "gaps")
        rows = [word("uninspected." + name, lang, n=counts[name]) for name in names if counts.get(name)]
        there = [text_of(one) for one in re.findall("<li>([^<]*)</li>", end["list"] or "")]
        self.want(there == rows and text_of(end["none"]) == (None if rows else word("uninspected.none", lang)), where + "what was not inspected")
        hints = [word("time.note", lang), self.say("invisible_note")] + ([self.say("masked_note")] if about["redacted"] else [])
        right = text_of(end["h2"]) == word("uninspected.title", lang) and html.unescape(end["hint"]) == "".join(one + "。" for one in hints)
        self.want(right and text_of(end["mode"]) in (None, word("mode.single", lang)), where + "words")
        facts = [[text_of(one) for one in found] for found in FACT.findall(end["facts"])]
        right = len(facts) == 3 and facts[0] == [self.say("made"), beijing(about["at"], lang)] and facts[2] == [self.say("stand"), str(about["size"])]
        self.want(right and facts[1][0] == self.say("program") and re.fullmatch(r"liuhen [0-9][0-9A-Za-z.+-]*", facts[1][1]), where + "facts")



def language():
    """The language of the words: LIUHEN_LANG, as for liuhen itself, else that of the machine; Chinese when nothing says otherwise."""
    chosen = os.environ.get("LIUHEN_LANG", "")
    return chosen if chosen in ("zh", "en") else "zh" if os.environ.get("LANG", "zh").startswith("zh") else "en"


def harmless(words, most=600):
    """Words of a bundle fit for a terminal and a line: what it would obey, reorder or not show is written as its number, what is too long is cut."""
    words = str(words)
    words = words if len(words) <= most else words[:most] + "…"
    return "".join(c if c.isprintable() else "<U+%04X>" % ord(c) for c in words)


# What does not hold, in Chinese: a line each, English and Chinese, `{}` for what is named. The Chinese is shown first, the English behind it.
IN_CHINESE = """
not a whole zip: its end counts {} files, its directory {}|压缩包不完整：结尾记有 {} 个文件，目录有 {} 个
not a whole zip: it has no directory|压缩包不完整：没有目录
not a whole zip: its directory is not where it says|压缩包不完整：目录不在所述位置
not a whole zip: its ends say different things of its directory|压缩包不完整：几处结尾对目录的说法不一
not a whole zip: its directory is cut|压缩包不完整：目录被截断
not a whole zip: its directory is broken|压缩包不完整：目录损坏
not a whole zip: two of its files lie over each other: no bundle's do|压缩包内有文件相互重叠，证据包不会如此
not a whole zip: the head of {} says something else than the directory|压缩包内 {} 的文件头与目录所述不符
not a whole zip: an extra field of {} can be read in two ways|压缩包内 {} 的附加字段可作两种解读
not a whole zip: it holds bytes that are no file of its directory: no bundle does|压缩包内有不属于目录中任何文件的字节，证据包不会如此
not a whole zip: longer than its directory says: {}|压缩包不完整：文件长于目录所述：{}
not a whole zip: bad CRC-32 for file {}|压缩包不完整：文件的 CRC-32 不符：{}
not a whole zip: what is packed ends before its bytes do, or does not end|压缩包不完整：压缩数据之后另有字节，或没有结尾
not a whole zip: {}|压缩包不完整：{}
there twice: {}|重复出现：{}
a link: {}|是链接，不是文件：{}
not a plain file: {}|不是普通文件：{}
packed in a way that no bundle is|压缩方式不是证据包所用
a file name that is not ours: {}|不是证据包的文件名：{}
unpacked it would be more than {} times as large: no bundle is|解压后将超过自身的 {} 倍，证据包不会如此
missing: {}|缺少：{}
changed: {}|已被改动：{}
put in by somebody else, no bundle has such a file: {}|他人放入，证据包没有这样的文件：{}
put in by somebody else: {}|他人放入：{}
larger than any such file: {}|比任何此类文件都大：{}
{} has a line larger than any of its kind|{} 有一行比任何此类行都长
{} is cut|{} 被截断
{} says one thing twice|{} 中同一名称出现两次
{} holds a number that is not whole: {}|{} 中有不是整数的数：{}
{} is not JSON|{} 不是 JSON
{} is not as we write it: {}|{} 与本程序所写格式不符：{}
{} is not as we write it|{} 与本程序所写格式不符
{}: other groups than ours|{}：字段组与规定不同
{}: its fields are not shown|{}：字段未显示
{}: other fields than ours|{}：字段与规定不同
not a BagIt bag|不是 BagIt 包
more than twice as large as bag-info.txt says|大小超过 bag-info.txt 所述的两倍
bag-info.txt counts otherwise|bag-info.txt 的数目不符
{} lists twice {}|{} 重复列出 {}
log.vkey is no key|log.vkey 不是公钥
the log's name is not that of its key|日志名称与其公钥不符
signed by another key than the one you gave|签名公钥与所给的不同
{} is not over the leaves it names|{} 与其所述的叶节点不符
no checkpoint|没有检查点
checkpoint {} is of another epoch|检查点 {} 属于另一期
consistency of {} is about other trees|检查点 {} 的一致性证明是关于别的树
checkpoint {} is not the beginning of checkpoint {}|检查点 {} 不是检查点 {} 的开头部分
other epochs than the checkpoint names|期数与检查点所述不同
epoch {} does not begin with the checkpoint before it|第 {} 期不是从其前的检查点开始
the first leaf of epoch {} is not the checkpoint before it|第 {} 期的第一个叶节点不是其前的检查点
{} is not a checkpoint of this log|{} 不是本日志的检查点
{} is not signed by this log|{} 不是由本日志签名
{}: the signature is not valid|{}：签名无效
{} is about another leaf|{} 是关于另一条记录
{}: malformed, {} in {}|{}：内容不成形（{}），在 {}
{}: the fields are not what was committed to|{}：字段与所承诺的不符
{}: proof for another checkpoint|{}：证明属于另一检查点
{}: a broken path|{}：路径损坏
{} is not in the tree of the checkpoint|{} 不在检查点的树中
{}: other trees than the checkpoint's|{}：所属的树与检查点不同
{} is not in the SM3 tree of the checkpoint|{} 不在检查点的 SM3 树中
{} is of another corp|{} 属于另一企业
{} is out of order|{} 次序不对
{} has no proof|{} 没有证明
{} stands in another conversation|{} 被放进了另一会话
proofs without a record: {}|有证明而无记录：{}
{}: {} is not what was committed to|{}：{} 与所承诺的不符
{} was not archived|{} 未曾存档
{}: other files than were committed to|{}：所附文件与所承诺的不符
bytes of no record: {}|不属于任何记录的字节：{}
{}: the opened bytes were changed|{}：明文字节已被改动
{}: the opened bytes are of another message|{}：明文字节属于另一条消息
{}: the sealed bytes are missing|{}：缺少密文字节
{}: the sealed bytes were changed|{}：密文字节已被改动
{}: the sealed bytes are of another record|{}：密文字节属于另一条记录
a file of no record: {}|不属于任何记录的文件：{}
{}: its file is another than was fetched|{}：其文件不是当时取回的文件
coverage.json is about another checkpoint|coverage.json 是关于另一检查点
coverage.json says {} records, there are {}|coverage.json 称有 {} 条记录，实有 {} 条
{}: {} records said, {} there|{}：称有 {} 条记录，实有 {} 条
{}: {} archived, {} there and {} outside the days|{}：存档 {} 条，包内 {} 条，日期之外 {} 条
{} stands in a conversation that is not listed|{} 所在会话未列出
other recalls than coverage.json says|撤回数与 coverage.json 所述不同
recall {} does not say where its original is|撤回记录 {} 未说明原消息在何处
the original of recall {} is gone|撤回记录 {} 的原消息不见了
coverage.json says {} records are held back, {} are listed|coverage.json 称有 {} 条未收录，列出 {} 条
{} has no number|{} 没有编号
{} has no proof of its decision|{} 没有其决定的证明
{}: the proof is of another|{}：证明属于另一条
{}: {} is not what was decided|{}：{} 与当时的决定不符
{}: a page is missing|{}：缺少网页
{}: messages stand on another side of its pages|{}：网页上消息的左右位置不对
{}: its pages show other gaps than the bundle lists|{}：网页所示的缺口与包内所列不同
{}: its pages show other held records than the bundle lists|{}：网页所示的未收录记录与包内所列不同
a page of no conversation: {}|不属于任何会话的网页：{}
{} shows a message that is not in the bundle|{} 显示了包内没有的消息
{}: {} shows something else|{}：{} 所显示的与记录不符
{} stands on the pages twice|{} 在网页上出现两次
{} is not on the pages|{} 不在网页上
the pages show other messages than there are|网页所显示的消息与实有的不同
the custody log was changed at entry {}|经手日志第 {} 条已被改动
the custody log is not the one that checkpoint {} names, at entry {}|经手日志不是检查点 {} 所指的日志，第 {} 条
the custody log goes on after the checkpoint|经手日志在检查点之后仍有内容
the proof of custody entry {} does not hold|经手日志第 {} 条的证明不成立
a stamp of no checkpoint: {}|不属于任何检查点的时间戳：{}
{} does not hold: it is none|{} 不成立：不是时间戳
{} does not hold: a digest that is not allowed|{} 不成立：所用摘要算法不允许
{} does not hold: it is over something else|{} 不成立：盖在别的内容上
{} does not hold: it answers another request|{} 不成立：答复的是另一请求
{} does not hold: its signature, or its chain at that time, is not valid|{} 不成立：签名或当时的证书链无效
{} does not hold: the authority refused|{} 不成立：时间戳机构拒绝了请求
{} is no time stamp|{} 不是时间戳
{} says no time|{} 没有时间
{} is about another key|{} 是关于另一把公钥
{} is no RSA key|{} 不是 RSA 公钥
proofs of decryption of no record, or records without: {}|解密证明没有记录，或记录没有解密证明：{}
{} is about another record|{} 是关于另一条记录
{}: the proof of decryption is under another key|{}：解密证明属于另一把公钥
{}: the proof of decryption does not open under the public key|{}：解密证明与公钥不符
{}: the sealed bytes decrypt to other words|{}：密文解开后是别的文字
in a redacted set stands what it leaves out: {}|遮盖版中有不应收录的内容：{}
masks of no record: {}|不属于任何记录的遮盖：{}
{}: the log of masks does not fit its {}|{}：遮盖记录与其 {} 不符
the table has fewer rows than there are records|表格的行少于记录
the table has more rows than there are records|表格的行多于记录
the table has other columns|表格的列不同
{}: the table says something else|{}：表格所载与记录不符
{}: the opening is not what was committed to|{}：打开的字段组与所承诺的不符
{} is no page of ours|{} 不是本程序所写的网页
{}: what we do not write stands in its head or at its end|{}：开头或结尾有本程序不写的内容
{}: what we do not write stands in its head: {}|{}：开头有本程序不写的内容：{}
{}: what we do not write stands at its end: {}|{}：结尾有本程序不写的内容：{}
{}: behind {} stands {}|{}：在 {} 之后有不该有的内容：{}
"""
SUBJECTS = [
    (r"held record (.*)", "未收录的记录 {}"), (r"record (.*) \(msgid (.*)\)", "记录 {}（msgid {}）"), (r"record (.*)", "记录 {}"), (r"conversation (.*)", "会话 {}"),
    (r"the time stamp of checkpoint (.*)", "检查点 {} 的时间戳"), (r"custody entry (.*)", "经手日志第 {} 条"), (r"(.*) line ([0-9]+)", "{} 第 {} 行"),
]  # fmt: skip


def in_chinese(said):
    """What does not hold, in Chinese; None where only the English is known."""
    for line in IN_CHINESE.strip().split("\n"):
        english, _, chinese = line.partition("|")
        found = re.fullmatch(re.escape(english).replace(r"\{\}", "(.*?)"), said, re.S)
        if found:
            return chinese.format(*(subject(one) for one in found.groups()))
    return None


def subject(words):
    for english, chinese in SUBJECTS:
        found = re.fullmatch(english, words, re.S)
        if found:
            return chinese.format(*found.groups())
    return words


def fault(said, zh):
    """What does not hold, fit for a terminal: in Chinese with the English behind it, or in English alone."""
    told = in_chinese(str(said)) if zh else None
    return harmless(said) if told is None else "%s（%s）" % (harmless(told), harmless(said))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--key")
    parser.add_argument("--stamp-roots")
    parser.add_argument("--opening")
    parser.add_argument("--lang", choices=["zh", "en"], default=language())
    given = parser.parse_args()
    zh = given.lang == "zh"
    if hasattr(sys.stdout, "reconfigure"):  # a name of a bundle may hold what this terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    print("核验 %s" % given.bundle if zh else "checking %s" % given.bundle)
    try:
        bundle = Bundle(given.bundle, given.key, given.stamp_roots)
    except (Failed, OSError) as failed:
        print(("0. 不通过：%s" if zh else "0. FAILED: %s") % fault(failed, zh))
        return 6
    last = [("opening", "打开的字段组与承诺一致", "the opened fields are what was committed to")] if given.opening else []
    for number, (name, in_zh, in_en) in enumerate(CHECKS + last, 1):
        try:
            getattr(bundle, "check_" + name)(*([given.opening] if name == "opening" else []))
        except Failed as failed:
            print(("%d. 不通过：%s：%s" if zh else "%d. FAILED: %s: %s") % (number, in_zh if zh else in_en, fault(failed, zh)))
            return 6
        except Exception as error:  # whatever a crafted bundle makes a library say, it is a bundle that does not hold
            kind, where = type(error).__name__, bundle.files.now
            what = "内容不成形，在 %s（%s）" % (subject(where), kind) if zh else "malformed, %s in %s" % (kind, where)
            print(("%d. 不通过：%s：%s" if zh else "%d. FAILED: %s: %s") % (number, in_zh if zh else in_en, harmless(what)))
            return 6
        print(("%d. 通过：%s" if zh else "%d. passed: %s") % (number, in_zh if zh else in_en))
    for size, when in sorted(bundle.stamped.items()):
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))
        print(("   检查点 %d 的时间戳：%s" if zh else "   checkpoint %d is stamped: %s") % (size, at))
    if bundle.point.epoch:
        in_zh, in_en = "   第 %d 期：恢复之后另起，此前外部所知的检查点有 %d 个叶节点", "   epoch %d: begun after a restore; the checkpoint known outside had %d leaves"
        print((in_zh if zh else in_en) % (bundle.point.epoch, bundle.point.old[0]))
    for what, value in bundle.unchecked:
        print(("未核对：" if zh else "not checked: ") + UNCHECKED[what][0 if zh else 1] + ("\n   " + harmless(value) if value else ""))
    lacking = [what for what, _ in bundle.unchecked if what not in TO_COMPARE]
    if lacking:
        print(("其余通过：%d 条记录，检查点 %d" if zh else "all else passed: %d records, checkpoint %d") % (len(bundle.numbers), bundle.point.size))
        return 3
    print(("全部通过：%d 条记录，检查点 %d" if zh else "all passed: %d records, checkpoint %d") % (len(bundle.numbers), bundle.point.size))
    return 0


if __name__ == "__main__":
    sys.exit(main())
