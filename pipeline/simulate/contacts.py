"""What an application may ask about members and departments (wecom-archive.md 8; pages 96255, 96260).

Before: corp.py. After: routes.py. Pure; raises Refused. As for applications made since June 2022, no mobile, mail or avatar is given.
"""

from __future__ import annotations

from typing import Any

from pipeline.simulate.corp import Corp, Department, Member
from pipeline.simulate.exchange import Refused, Request

Fields = dict[str, Any]
MAX_PAGE = 10_000


def member(corp: Corp, request: Request) -> Fields:
    """Return a member; who left or never was is 60111."""
    found = corp.member(request.query.get("userid", ""))
    if found is None:
        raise Refused(60111)
    return _told(corp, found)


def _told(corp: Corp, member: Member) -> Fields:
    leads = [int(any(leader.lower() == member.userid.lower() for leader in corp.departments[d].leaders)) for d in member.department]
    return {
        "userid": member.userid, "name": member.name, "alias": member.alias, "department": member.department, "order": [0] * len(leads),
        "main_department": member.department[0], "position": member.position, "is_leader_in_dept": leads, "direct_leader": [],
        "status": member.status, "external_position": member.external_position, "extattr": {"attrs": []},
        "external_profile": {"external_corp_name": corp.name, "external_attr": []}, "open_userid": f"woOPEN{member.userid}",
    }  # fmt: skip


def _below(corp: Corp, request: Request) -> list[Member]:
    """The members of a department, with those of departments under it when fetch_child is 1."""
    asked = request.query.get("department_id", "")
    if not asked.isdecimal() or int(asked) not in corp.departments:
        raise Refused(60123)
    wanted = set(corp.below(int(asked))) if request.query.get("fetch_child") == "1" else {int(asked)}
    return [m for m in corp.members.values() if wanted.intersection(m.department)]


def members_simple(corp: Corp, request: Request) -> Fields:
    """Return ids, names and departments of a department's members."""
    return {"userlist": [{"userid": m.userid, "name": m.name, "department": m.department} for m in _below(corp, request)]}


def members_full(corp: Corp, request: Request) -> Fields:
    """Return a department's members."""
    return {"userlist": [_told(corp, m) for m in _below(corp, request)]}


def member_ids(corp: Corp, request: Request) -> Fields:
    """Return every pair of member and department, paged."""
    asked = request.json()
    pairs = [{"userid": m.userid, "department": d} for m in corp.members.values() for d in m.department]
    shown, cursor = page(pairs, asked, MAX_PAGE)
    return {"dept_user": shown, "next_cursor": cursor}


def departments(corp: Corp, request: Request) -> Fields:
    """Return a department and all under it, or all."""
    return {"department": [_department(d) for d in _wanted(corp, request)]}


def departments_simple(corp: Corp, request: Request) -> Fields:
    """Return ids, parents and order of departments."""
    return {"department_id": [{"id": d.id, "parentid": d.parentid, "order": d.order} for d in _wanted(corp, request)]}


def department(corp: Corp, request: Request) -> Fields:
    """Return one department."""
    asked = request.query.get("id", "")
    if not asked.isdecimal() or int(asked) not in corp.departments:
        raise Refused(60123)
    return {"department": _department(corp.departments[int(asked)])}


def _wanted(corp: Corp, request: Request) -> list[Department]:
    asked = request.query.get("id", "")
    if not asked:
        return list(corp.departments.values())
    if not asked.isdecimal() or int(asked) not in corp.departments:
        raise Refused(60123)
    return [corp.departments[d] for d in corp.below(int(asked))]


def _department(d: Department) -> Fields:
    return {"id": d.id, "name": d.name, "name_en": "", "department_leader": d.leaders, "parentid": d.parentid, "order": d.order}


def page(rows: list[Fields], asked: Fields, largest: int) -> tuple[list[Fields], str]:
    """Return one page of rows and the cursor of the next, "" at the end; raises Refused 40058 for a wrong cursor or limit."""
    cursor, limit = asked.get("cursor") or "", asked.get("limit", largest)
    if not isinstance(cursor, str) or (cursor and not cursor.removeprefix("demo").isdecimal()):
        raise Refused(40058)
    if type(limit) is not int or not 1 <= limit <= largest:
        raise Refused(40058)
    start = int(cursor.removeprefix("demo") or 0)
    return rows[start : start + limit], f"demo{start + limit}" if start + limit < len(rows) else ""
