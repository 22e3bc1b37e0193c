"""All of WeCom that the commands ask, over real HTTP: sealed records, files by range, consent, the directory, a receiver of alerts.

What it answers is given; what it was asked is kept (`Platform.asked`). A home whose `wecom.base_url` is its address pulls from it with the plain client.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from tests import firm
from tests.wecom.platform import Asked, Platform, platform

FILE_KEY = bytes(range(16))
NOTHING = {"errcode": 0, "errmsg": "ok"}
OTHERS = (
    "externalcontact/get_follow_user_list", "externalcontact/batch/get_by_user", "externalcontact/groupchat/list", "externalcontact/groupchat/get",
    "externalcontact/transfer_result", "externalcontact/resigned/transfer_result", "externalcontact/get_unassigned_list", "externalcontact/get_user_behavior_data",
    "externalcontact/get_groupmsg_list_v2", "msgaudit/check_room_agree", "msgaudit/get_robot_info", "msgaudit/groupchat/get", "message/send", "/hook",
)  # fmt: skip


def file_id(name: str) -> str:
    """The sdkfileid of a file: its name, what may open it, and the key of its bytes (envelope-format.md 4)."""
    fields = (name.encode(), b"auth", FILE_KEY.hex().encode())
    return base64.b64encode(b"".join(bytes((number << 3 | 2, len(f))) + f for number, f in enumerate(fields, 1))).decode()


def wecom(
    records: Mapping[int, bytes], *, files: Mapping[str, bytes] | None = None, statuses: Mapping[str, tuple[str, int]] | None = None,
    people: Mapping[str, str] | None = None, departments: Mapping[int, str] | None = None, customers: Mapping[str, str] | None = None,
) -> AbstractContextManager[Platform]:  # fmt: skip
    """Serve it. records: sealed items by seq; files: bytes by name; statuses: (agree_status, status_change_time) by customer; people, departments, customers: names."""

    def page(asked: Asked) -> bytes:
        return firm.answer(item for seq, item in sorted(records.items()) if seq > asked.body["seq"])

    def piece(asked: Asked) -> Any:
        data = (files or {})[asked.body["fileid"]]
        padding = 16 - len(data) % 16
        encryptor = Cipher(AES128(FILE_KEY), ECB()).encryptor()
        sealed = encryptor.update(data + bytes([padding]) * padding) + encryptor.finalize()
        return {"errcode": 0, "content": base64.b64encode(sealed).decode()}, {"CONTENT-RANGE": f"BYTES 0-{len(sealed) - 1}/{len(sealed)}"}

    def agreed(asked: Asked) -> dict[str, Any]:
        known = statuses or {}
        found = [(pair, known[pair["exteranalopenid"]]) for pair in asked.body["info"] if pair["exteranalopenid"] in known]
        return {**NOTHING, "agreeinfo": [{**pair, "agree_status": status, "status_change_time": at} for pair, (status, at) in found]}

    def member(asked: Asked) -> dict[str, Any]:
        return {**NOTHING, "userid": asked.query["userid"], "name": (people or {}).get(asked.query["userid"], ""), "department": [1]}

    def customer(asked: Asked) -> dict[str, Any]:
        who = asked.query["external_userid"]
        return {**NOTHING, "external_contact": {"external_userid": who, "name": (customers or {}).get(who, ""), "type": 1}, "follow_user": []}

    answers: dict[str, list[Any]] = {
        "message/getchatdata": [page], "message/getchatmediadata": [piece], "msgaudit/check_single_agree": [agreed], "user/get": [member],
        "msgaudit/get_permit_user_list": [{**NOTHING, "ids": sorted(people or {})}], "externalcontact/get": [customer],
        "user/list": [{**NOTHING, "userlist": [{"userid": u, "name": n, "department": [1]} for u, n in (people or {}).items()]}],
        "department/list": [{**NOTHING, "department": [{"id": d, "name": n, "parentid": 0} for d, n in (departments or {}).items()]}],
    }  # fmt: skip
    return platform(**answers, **{path: [NOTHING] for path in OTHERS})
