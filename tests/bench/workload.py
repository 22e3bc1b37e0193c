"""What is measured on: made-up chat of a firm, sealed once, and a home that is ready to take it.

Before: pipeline.demo (the words), pipeline.sealing. After: the measurements.

Chat as people write it: nine of ten messages are text of about 30 characters, conversations last ten messages, 200 of them at a time,
every fourth in a room of up to 16; two messages in a hundred hold a planted phrase, and what is refused is rare. Everything follows from the seed except keys and RSA padding.
"""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from pipeline import ingest, sealing
from pipeline.demo import chatter, messages
from pipeline.directory import Entry
from pipeline.home import Home
from pipeline.lakerows import consent_table, people_table
from pipeline.register import Event, new_event
from tests import firm

SEED = 1
RECORDS_A_PAGE = 1_000
EMPLOYEES, CUSTOMERS, ROOMS = 500, 5_000, 300
SESSIONS, SESSION_MESSAGES = 200, 10  # conversations at a time, and how long one lasts
REFUSED, UNDECIDED = 20, 20  # customers: 0.4 % each, as few as in a firm whose breaker stays quiet
# 2026-06-15 00:00 Beijing, and when everybody had decided before
FIRST_MS = 1_781_452_800_000
DECIDED_MS = FIRST_MS - 14 * 86_400_000
RECORDED_MS = DECIDED_MS + 1_000
OTHER_KINDS = ("image", "file", "link", "weapp", "emotion", "chatrecord", "mixed")


class Workload(NamedTuple):
    """Where the sealed pages lie, the RSA blocks in them (256 bytes each, one after the other), and the mean length of the texts."""

    pages: Path
    blocks: Path
    messages: int
    page_count: int
    mean_characters: float


class Chat(NamedTuple):
    """Who talks: (employee, customer) pairs and rooms of them."""

    pairs: tuple[tuple[str, str], ...]
    rooms: tuple[tuple[str, tuple[str, ...]], ...]


def employees() -> list[str]:
    """The firm's userids."""
    return [f"emp{n:05d}" for n in range(EMPLOYEES)]


def customers() -> list[str]:
    """Ids of external people, as long as real ones."""
    return [f"wmDEMO{n:026d}" for n in range(CUSTOMERS)]


@cache
def chat() -> Chat:
    """The pairs and rooms, drawn once."""
    rng, staff = random.Random(SEED), employees()
    pairs = tuple((rng.choice(staff), customer) for customer in customers())
    rooms = tuple((f"wrDEMO{n:026d}", tuple(p for pair in rng.sample(pairs, rng.randint(2, 8)) for p in pair)) for n in range(ROOMS))
    return Chat(pairs, rooms)


def events() -> Iterator[Event]:
    """Yield one decision for every pair and one for every customer in a room."""
    for n, (employee, customer) in enumerate(chat().pairs):
        status = "Disagree" if n < REFUSED else "Unclear" if n < REFUSED + UNDECIDED else "Agree"
        yield _event(status, userid=employee, external_userid=customer)
    for room, members in chat().rooms:
        for customer in dict.fromkeys(m for m in members if m.startswith("wm")):
            yield _event("Agree", room_id=room, external_userid=customer)


def _event(status: str, **scope: str) -> Event:
    return new_event(source="api", status=status, changed_at_ms=DECIDED_MS, recorded_at_ms=RECORDED_MS, **scope)  # type: ignore[arg-type]  # ids only


def plaintexts(count: int) -> Iterator[dict[str, Any]]:
    """Yield messages as the source writes them."""
    rng = random.Random(SEED)
    lines = [turn.words for talk in chatter.talks() for turn in talk.turns if turn.kind == "text"]
    planted = [p.text for p in chatter.planted("violations") if p.text]
    sessions = [_conversation(rng) for _ in range(SESSIONS)]
    for n in range(count):
        at = rng.randrange(SESSIONS)
        if rng.random() < 1 / SESSION_MESSAGES:
            sessions[at] = _conversation(rng)
        sender, to, room = _parties(rng, *sessions[at])
        words = _words(rng, lines, planted)
        kind = "text" if rng.random() < 0.92 else rng.choice(OTHER_KINDS)
        at_ms = FIRST_MS + n * 2_000
        body = messages.body(kind, messages.Asked(words=(words,), rng=rng, at_ms=at_ms, sender=sender, names=(sender, *to)))
        yield messages.message(
            msgid=f"{rng.getrandbits(80):020x}_{at_ms}_external", action="send", sender=sender, tolist=to, roomid=room, msgtime=at_ms, body=body
        )


def _conversation(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """A room with its members, or no room and a pair."""
    return rng.choice(chat().rooms) if rng.random() < 0.25 else ("", rng.choice(chat().pairs))


def _parties(rng: random.Random, room: str, members: tuple[str, ...]) -> tuple[str, tuple[str, ...], str]:
    sender = rng.choice(members)
    return sender, tuple(m for m in dict.fromkeys(members) if m != sender), room


def _words(rng: random.Random, lines: list[str], planted: list[str]) -> str:
    """Two or three lines of talk: one line of the demonstration is shorter than what people send."""
    chosen = rng.sample(lines, rng.choice((2, 2, 2, 2, 1, 3)))
    if rng.random() < 0.02:
        chosen.append(rng.choice(planted))
    return chatter.fill("，".join(chosen), rng, {"cust": "王先生", "emp": "李演示", "ename": "李"})[0]


def make(folder: Path, count: int, *, records_a_page: int = RECORDS_A_PAGE) -> Workload:
    """Seal `count` messages into saved answers under `folder`, and keep their RSA blocks beside them."""
    pages = folder / "pages"
    pages.mkdir(parents=True)
    rng, public = random.Random(SEED), firm.private_key(1).public_key()
    texts = characters = number = 0
    told = plaintexts(count)
    with (folder / "blocks").open("wb") as blocks:
        while some := list(islice(told, records_a_page)):
            items: list[bytes] = []
            for plain in some:
                key = sealing.RandomKey.new(rng)
                block = public.encrypt(key.text, PKCS1v15())
                blocks.write(block)
                items.append(_item(plain, number * records_a_page + len(items) + 1, key, block, rng))
                if plain["msgtype"] == "text":
                    texts, characters = texts + 1, characters + len(plain["text"]["content"])
            number += 1
            (pages / f"{number:06d}.json").write_bytes(firm.answer(items))
    (folder / "v1.pem").write_bytes(firm.pem(1))
    return Workload(pages, folder / "blocks", count, number, characters / texts)


def _item(plain: dict[str, Any], seq: int, key: sealing.RandomKey, block: bytes, rng: random.Random) -> bytes:
    """As `sealing.seal_item`, with the RSA block made outside, since it is measured by itself too."""
    chat_msg = sealing.seal(msgspec.json.encode(plain), key, rng).decode()
    return msgspec.json.encode(
        {"seq": seq, "msgid": plain["msgid"], "publickey_ver": 1, "encrypt_random_key": b64encode(block).decode(), "encrypt_chat_msg": chat_msg}
    )


def home(folder: Path, *, rsa: str = "") -> Home:
    """Return a fresh home with key, directory and register; the packs are the shipped ones. rsa: the setting `ingest.rsa`, that of a new home when empty."""
    folder.mkdir(parents=True, exist_ok=True)
    made = firm.home(folder, settings={"ingest.rsa": rsa} if rsa else {})
    people = [Entry(userid=userid, kind="employee", name=f"演示{userid}", recorded_at_ms=RECORDED_MS) for userid in employees()]
    ingest.append(made, firm.CORP, [("people", people_table(people)), ("consent", consent_table(events()))], what="bench")
    return made
