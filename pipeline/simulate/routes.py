"""Which path is answered by what, with tokens and faults in front of it.

Before: simulator.py, chat.py, audits.py, contacts.py, customers.py, campaigns.py. After: server.py.

Order of an answer: the fault that waits for this call is taken; the token is checked; the call answers; the fault spoils the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pipeline.simulate import audits, campaigns, contacts, customers, faults
from pipeline.simulate.corp import Corp
from pipeline.simulate.exchange import Answer, Refused, Request, answered, refused
from pipeline.simulate.simulator import Simulator
from pipeline.simulate.tokens import Holder

ROOT = "/cgi-bin/"
Asked = Callable[[Corp, Request], dict[str, Any]]
# Path after /cgi-bin/: whose token, method, what answers.
CALLS: Mapping[str, tuple[Holder, str, Asked]] = {
    "msgaudit/get_permit_user_list": ("archive", "POST", audits.permit_user_list),
    "msgaudit/check_single_agree": ("archive", "POST", audits.single_agree),
    "msgaudit/check_room_agree": ("archive", "POST", audits.room_agree),
    "msgaudit/groupchat/get": ("archive", "POST", audits.internal_room),
    "msgaudit/get_robot_info": ("archive", "GET", audits.robot_info),
    "user/get": ("contacts", "GET", contacts.member),
    "user/list": ("contacts", "GET", contacts.members_full),
    "user/simplelist": ("contacts", "GET", contacts.members_simple),
    "user/list_id": ("contacts", "POST", contacts.member_ids),
    "department/list": ("contacts", "GET", contacts.departments),
    "department/simplelist": ("contacts", "GET", contacts.departments_simple),
    "department/get": ("contacts", "GET", contacts.department),
    "externalcontact/get_follow_user_list": ("contacts", "GET", customers.follow_users),
    "externalcontact/list": ("contacts", "GET", customers.customer_ids),
    "externalcontact/get": ("contacts", "GET", customers.customer),
    "externalcontact/batch/get_by_user": ("contacts", "POST", customers.customers_by_user),
    "externalcontact/groupchat/list": ("contacts", "POST", customers.rooms),
    "externalcontact/groupchat/get": ("contacts", "POST", customers.room),
    "externalcontact/transfer_result": ("contacts", "POST", partial(campaigns.transfer_result, resigned=False)),
    "externalcontact/resigned/transfer_result": ("contacts", "POST", partial(campaigns.transfer_result, resigned=True)),
    "externalcontact/get_unassigned_list": ("contacts", "POST", campaigns.unassigned),
    "externalcontact/get_groupmsg_list_v2": ("contacts", "POST", campaigns.group_messages),
    "externalcontact/get_groupmsg_task": ("contacts", "POST", campaigns.group_tasks),
    "externalcontact/get_groupmsg_send_result": ("contacts", "POST", campaigns.group_results),
}
TOKEN, CHAT, MEDIA = "gettoken", "message/getchatdata", "message/getchatmediadata"


class Routes:
    """Answers of one double. asked: how often each path was asked."""

    def __init__(self, double: Simulator) -> None:
        self._double = double
        self.asked: dict[str, int] = {}

    def answer(self, request: Request) -> Answer:
        """Return the platform's answer; never raises for what a client sent."""
        path = request.path.removeprefix(ROOT)
        with self._double.lock:
            self.asked[path] = self.asked.get(path, 0) + 1
            fault = self._double.faults.take(path)
            try:
                found = self._call(path, request, fault)
            except Refused as no:
                found = refused(no.errcode)
        return faults.spoilt(fault, found) if fault else found

    def _call(self, path: str, request: Request, fault: faults.Fault | None) -> Answer:
        double, now = self._double, self._double.clock.now()
        if path == TOKEN:
            token, expires = double.tokens.issue(request.query.get("corpid", ""), request.query.get("corpsecret", ""), now)
            return answered({"access_token": token, "expires_in": expires})
        holder, method, ask = self._rule(path)
        if request.method != method or not request.path.startswith(ROOT):
            return Answer(status=404, body=b"not found")
        double.tokens.check(request.query.get("access_token", ""), holder, now)
        if path == CHAT:
            return double.chat.chat_data(request, now, fault)
        if path == MEDIA:
            return double.chat.media_data(request, now, fault)
        return answered(ask(double.corp, request))

    def _rule(self, path: str) -> tuple[Holder, str, Asked]:
        double = self._double
        match path:
            case "message/getchatdata" | "message/getchatmediadata":
                return "archive", "POST", _nothing
            case "getcallbackip":
                return "contacts", "GET", lambda corp, request: {"ip_list": ["127.0.0.1"]}
            case "externalcontact/get_user_behavior_data":
                return "contacts", "POST", lambda corp, request: campaigns.behaviour(corp, request, double.counts, double.clock.now())
        return CALLS.get(path, ("archive", "", _nothing))


def _nothing(corp: Corp, request: Request) -> dict[str, Any]:
    return {}
