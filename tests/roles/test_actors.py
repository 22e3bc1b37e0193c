"""actors.toml: who is who, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import NotAllowed, UsageError
from pipeline.roles import acting, actors

PUBLIC = actors.public_of("a token")


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    (folder / actors.FILE).write_text(text)
    (folder / actors.FILE).chmod(mode)
    return folder


def line(**fields: str) -> str:
    given = {"name": '"wang"', "account": '"alice"', "roles": '["officer"]', **fields}
    return "[[actor]]\n" + "".join(f"{k} = {v}\n" for k, v in given.items() if v)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[[actor]\n", "not TOML", id="not TOML"),
        pytest.param(line(roles='["owner"]'), "at least one role", id="a role that does not exist"),
        pytest.param(line(roles="[]"), "at least one role", id="no role"),
        pytest.param(line(account=""), "account or a token", id="neither account nor token"),
        pytest.param(line(roles='["branch_officer"]'), "needs departments", id="a branch officer of no branch"),
        pytest.param(line(departments='["/"]'), "empty department", id="an empty department"),
        pytest.param(line(token='"Zx7kQ-drawn"'), "never stands here", id="the token itself"),
        pytest.param(line(token='"ed25519:AAAA"'), "never stands here", id="half a public key"),
        pytest.param(line() + line(account='"bob"'), "same name", id="one name twice"),
        pytest.param(line() + line(name='"li"'), "same account", id="one account twice"),
        pytest.param(line(name='"../wang"'), "letters", id="a name that is a path"),
        pytest.param(line(password='"x"'), "unknown field", id="a field that does not exist"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused_without_quoting_a_token(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        actors.read(write(tmp_path, text))
    assert refused.value.code == "ACTORS_INVALID" and "Zx7kQ" not in str(refused.value) + refused.value.remedy


@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o644, False), (0o660, True), (0o602, True)])
def test_a_file_that_others_may_write_is_not_used(tmp_path: Path, mode: int, refused: bool) -> None:
    write(tmp_path, line(), mode)
    if not refused:
        assert actors.read(tmp_path) is not None
        return
    with pytest.raises(UsageError) as error:
        actors.read(tmp_path)
    assert error.value.code == "ACTORS_WRITABLE"


def test_the_account_is_the_kernel_s_word_whatever_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "alice")
    monkeypatch.setenv("USER", "alice")
    with pytest.raises(NotAllowed, match=r"is not in actors\.toml"):
        acting.access_of(write(tmp_path, line()))
    found = acting.access_of(write(tmp_path, line(account=f'"uid:{os.getuid()}"')))
    assert (found.actor, found.mode, found.role) == ("wang", "roles", "officer")


def test_a_token_counts_before_the_account_and_a_wrong_one_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = f'"uid:{os.getuid()}"'
    write(tmp_path, line(account=me) + line(name='"li"', account="", token=f'"{PUBLIC}"', roles='["auditor"]'))
    monkeypatch.setenv("LIUHEN_TOKEN", "a token")
    assert acting.access_of(tmp_path).actor == "li"
    monkeypatch.setenv("LIUHEN_TOKEN", "another token")
    with pytest.raises(NotAllowed):
        acting.access_of(tmp_path)
    (tmp_path / "li.token").write_text("a token\n")
    (tmp_path / "li.token").chmod(0o600)
    monkeypatch.setenv("LIUHEN_TOKEN", f"file:{tmp_path}/li.token")
    assert acting.access_of(tmp_path).actor == "li"
    (tmp_path / "li.token").chmod(0o644)
    with pytest.raises(UsageError) as readable:
        acting.access_of(tmp_path)
    assert readable.value.code == "SECRET_READABLE"
    monkeypatch.delenv("LIUHEN_TOKEN")
    assert acting.access_of(tmp_path).actor == "wang"


def test_without_the_file_its_owner_may_do_all_and_that_is_called_single(tmp_path: Path) -> None:
    found = acting.access_of(tmp_path)
    assert (found.mode, found.role) == ("single", "owner") and found.actor.startswith("os:")
    assert found.may("read") and found.may("administer") and found.clear


def test_a_home_that_had_roles_does_not_fall_back_to_single_mode(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / acting.SINCE).write_text("0" * 64)
    with pytest.raises(UsageError) as gone:
        acting.access_of(tmp_path)
    assert gone.value.code == "ACTORS_GONE"


def test_the_signature_of_a_token_is_of_that_token_and_those_bytes() -> None:
    made = actors.sign("a token", b"what")
    assert actors.signed(PUBLIC, made, b"what")
    assert not actors.signed(PUBLIC, made, b"what else")
    assert not actors.signed(actors.public_of("another"), made, b"what")
    assert not actors.signed("ed25519:AAAA", made, b"what")


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        pytest.param("root", "uid:0", False, id="one account by name and by number"),
        pytest.param("uid:0", "uid:000", False, id="a number written twice"),
        pytest.param("nosuchaccount", "nosuchaccount", False, id="one that this machine does not know"),
        pytest.param("root", "uid:1", True, id="two"),
        pytest.param("nosuchaccount", "uid:4000000001", True, id="two that this machine does not know"),
    ],
)
def test_no_two_people_share_an_account_however_it_is_written(first: str, second: str, together: bool) -> None:
    text = "".join(f'[[actor]]\nname = "a{n}"\naccount = "{a}"\nroles = ["officer"]\n' for n, a in enumerate((first, second)))
    if together:
        assert len(actors.parse(text.encode()).actor) == 2
        return
    with pytest.raises(UsageError, match="two actors have the same account") as refused:
        actors.parse(text.encode())
    assert refused.value.code == "ACTORS_INVALID"


@pytest.mark.parametrize("data", [b"x=" + b"[" * 5_000 + b"]" * 5_000, b"x=" + b"1" * 5_000], ids=["lists in lists", "a number of 5,000 digits"])
def test_a_file_that_breaks_the_parser_is_no_file_of_people(data: bytes) -> None:
    with pytest.raises(UsageError) as refused:
        actors.parse(data)
    assert refused.value.code == "ACTORS_INVALID"
