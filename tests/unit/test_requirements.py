"""The locks say exactly what is installed: every version with its digests, no address, and nothing pyproject.toml does not ask for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(name: str) -> dict[str, set[str]]:
    """Versions by package, for all Pythons and platforms."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9-]+)==(\S+)", (LOCKS / f"{name}.txt").read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", ["run", "dev", "lock"])
def test_every_pin_has_a_digest_and_no_line_is_anything_else(name: str) -> None:
    lines = [line.strip() for line in (LOCKS / f"{name}.txt").read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("--hash"):
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}( \\)?", line)
        else:
            assert re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)? \\", line)
            assert after.startswith("--hash=sha256:")


@pytest.mark.parametrize("name", ["run.txt", "dev.txt", "lock.txt", "sizes.tsv"])
def test_no_address_is_in_a_lock(name: str) -> None:
    text = (LOCKS / name).read_text()
    assert "://" not in text
    assert not re.search(r"index|find-links", text)


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("run", [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["xlsx"]]),
        ("run", PROJECT["dependency-groups"]["build"]),
        ("run", PROJECT["build-system"]["requires"]),
        ("dev", PROJECT["dependency-groups"]["dev"]),
        ("lock", PROJECT["dependency-groups"]["lock"]),
    ],
    ids=["product", "build", "build-system", "dev", "lock"],
)
def test_what_pyproject_asks_for_is_locked_in_a_version_it_accepts(lock: str, asked: list[str]) -> None:
    locked = pins(lock)
    for requirement in map(Requirement, asked):
        versions = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), (requirement, versions)


def test_tests_run_on_the_very_versions_the_product_runs_on() -> None:
    run, dev = pins("run"), pins("dev")
    shared = run.keys() & dev.keys()
    assert "packaging" in shared
    assert {name: dev[name] for name in shared} == {name: run[name] for name in shared}


def test_what_is_forbidden_is_not_locked() -> None:
    # Unmaintained, or a vendor's own terms (design, "libraries before code").
    forbidden = {"jieba", "rfc3161ng", "intel-cmplr-lib-rt", "pywecomarchive"}
    # GPL or unmaintained: tests may ask them, users never get them.
    oracles = {"pymerkle", "wechatpy"}
    assert not forbidden & (pins("run").keys() | pins("dev").keys())
    assert not oracles & pins("run").keys()


def test_the_size_of_every_locked_wheel_is_known() -> None:
    sizes = [line.split("\t") for line in (LOCKS / "sizes.tsv").read_text().splitlines() if not line.startswith("#")]
    known = {(name, version) for name, version, size in sizes if int(size) > 0}
    for lock in ("run", "dev", "lock"):
        assert {(name, version) for name, versions in pins(lock).items() for version in versions} <= known
