"""Fills `.venv` with exactly the locked packages, starting from a Python that has neither pip nor venv tools.

    with-python.sh setup.py          what the product needs (the set `run`)
    with-python.sh setup.py dev      and what its tests need
    with-python.sh setup.py lock     and what renews the lock

Standard library only. In order: (1) what is there already is left alone; (2) check pip's own wheel, committed beside this file, against its
digest; (3) say what will be fetched; (4) make `.venv` without pip; (5) let that pip fetch wheels, each with a digest from the lock;
(6) put this checkout on the path (editable); (7) write the stamp. Killed anywhere, the next run starts again at (1).
pip reads its own configuration (index, mirror, proxy, certificates) as everywhere else; we set none of it.
Exit codes: 0 ready, 1 pip could not do it, 2 not possible here. docs/adr/0001-bootstrap.md has the reasons.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = ROOT / "deploy" / "bootstrap"
REQUIREMENTS = ROOT / "deploy" / "requirements"
VENV = ROOT / ".venv"
STAMP = VENV / "liuhen-installed.txt"
EXTRA_SETS = ("dev", "lock")
INCOMPLETE = (
    "软件包没有装全，原因见上面 pip 的说明；如需使用内部镜像，请设置 PIP_INDEX_URL 或 pip.conf，然后重新运行同一命令。\n"
    "the packages are not complete, pip says why above; "
    "behind a mirror set PIP_INDEX_URL or pip.conf, then run the same command again."
)
UNFINISHED = "unfinished yes\n"
VERSION_CODE = "import sys; print('%d.%d' % sys.version_info[:2])"


class Refusal(Exception):
    """Setting up is not possible here; the text says why and what to do, first in Chinese, then in English."""


class Package(NamedTuple):
    """One line of a lock: its name, exact version and, when known, the size in bytes of its wheel."""

    name: str
    version: str
    size: int = 0


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pip_wheel() -> Path:
    """Return pip's wheel, checked against pip.sha256; raises Refusal when it is another file than the one committed."""
    digest, name = (BOOTSTRAP / "pip.sha256").read_text().split()
    wheel = BOOTSTRAP / name
    if not wheel.is_file() or sha256(wheel) != digest:
        raise Refusal(
            f"deploy/bootstrap/{name} 与登记的摘要不符：请重新取得一份完整的代码。",
            f"deploy/bootstrap/{name} is not the file its digest in pip.sha256 names: get a fresh copy of the repository.",
        )
    return wheel


def locked(name: str) -> list[Package]:
    """Return the packages of the lock `name` that apply to this machine and Python, in the lock's order."""
    if str(pip_wheel()) not in sys.path:
        sys.path.insert(0, str(pip_wheel()))
    requirement = importlib.import_module("pip._vendor.packaging.requirements").Requirement
    sizes = wheel_sizes()
    packages = []
    for line in (REQUIREMENTS / f"{name}.txt").read_text().splitlines():
        if not line[:1].isalnum():
            continue
        wanted = requirement(line.rstrip("\\ "))
        if wanted.marker is None or wanted.marker.evaluate():
            version = str(wanted.specifier).removeprefix("==")
            packages.append(Package(wanted.name, version, sizes.get((wanted.name, version), 0)))
    return packages


def wheel_sizes() -> dict[tuple[str, str], int]:
    """Return the rough wheel size in bytes (Linux, 64 bit) by name and version, as `make lock` wrote it down."""
    rows = (line.split("\t") for line in (REQUIREMENTS / "sizes.tsv").read_text().splitlines() if not line.startswith("#"))
    return {(name, version): int(size) for name, version, size in rows}


def announcement(packages: set[Package]) -> str:
    """Return what will be fetched, largest first: count, rough size, every name."""
    total = f"{sum(p.size for p in packages) / 1e6:,.0f} MB"
    names = ", ".join(
        f"{p.name} {p.version}" + (f" ({p.size / 1e6:.0f} MB)" if p.size >= 1e6 else "") for p in sorted(packages, key=lambda p: -p.size)
    )
    return (
        f"需要从您的 Python 软件包源下载 {len(packages)} 个软件包，约 {total}，只装入 .venv，本机其他部分不变：\n"
        f"About to fetch {len(packages)} packages, about {total}, from your Python package index into .venv; "
        "nothing else on this machine changes:\n"
        + textwrap.fill(names, 118, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    )


def wanted_stamp(names: list[str]) -> dict[str, str]:
    """Return the stamp that says: these sets, as locked now, are installed here for this checkout."""
    sets = {name: sha256(REQUIREMENTS / f"{name}.txt") for name in names}
    return {"place": str(VENV), "project": sha256(ROOT / "pyproject.toml"), **sets}


def stamp() -> dict[str, str]:
    """Return what the stamp says; nothing when `.venv` is absent, unfinished or its Python no longer starts."""
    try:
        said = dict(line.split(" ", 1) for line in STAMP.read_text().splitlines())
        version = subprocess.run([VENV / "bin" / "python", "-c", VERSION_CODE], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    return said if said.get("python") == version.strip() else {}


def make_venv() -> None:
    """Make an empty `.venv`, marked unfinished (an older one of ours is replaced); raises Refusal when that is not possible."""
    if VENV.exists() and not STAMP.is_file():
        raise Refusal(
            f"{VENV} 已存在，但不是由本程序建立的：请先移走它。",
            f"{VENV} exists and was not made by this program: move it away first.",
        )
    try:
        venv = importlib.import_module("venv")
    except ImportError as cause:
        raise Refusal(
            "这个 Python 不完整（缺少 venv 模块）：Debian/Ubuntu 请运行 apt install python3。",
            "this Python is not complete (no module venv): on Debian or Ubuntu, apt install python3.",
        ) from cause
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    STAMP.write_text(UNFINISHED)
    venv.EnvBuilder(with_pip=False, symlinks=True).create(VENV)


def pip(wheel: Path, *arguments: str) -> None:
    """Run the committed pip inside `.venv`; raises CalledProcessError when it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    always = ["--disable-pip-version-check", "--no-deps", "--no-compile", "--no-input"]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [str(VENV / "bin" / "python"), str(wheel / "pip"), "install", *always, *quiet, *arguments]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)


def prepare(names: list[str]) -> None:
    """Bring `.venv` to hold the sets `names`; does nothing, and prints nothing, when it does already."""
    wanted, there = wanted_stamp(names), stamp()
    if wanted.items() <= there.items():
        return
    wheel = pip_wheel()
    if any(there.get(key) != wanted[key] for key in ("place", "run")):
        there = {}  # other versions of the product's own packages, or a moved checkout: from empty
    missing = [name for name in names if there.get(name) != wanted[name]]
    if missing:
        have = set(locked("run")) if "run" in there else set()
        print(announcement({package for name in missing for package in locked(name)} - have), file=sys.stderr, flush=True)
    if not there:
        make_venv()
    STAMP.write_text(UNFINISHED)
    for name in missing:
        pip(wheel, "--require-hashes", "--only-binary", ":all:", "--requirement", str(REQUIREMENTS / f"{name}.txt"))
    pip(wheel, "--no-index", "--no-build-isolation", "--editable", str(ROOT))
    finished = {"python": f"{sys.version_info.major}.{sys.version_info.minor}", **there, **wanted}
    STAMP.write_text("".join(f"{key} {value}\n" for key, value in finished.items()))


def main(names: list[str]) -> int:
    """Prepare the set `run` and those named on the command line; return the exit code."""
    if set(names) - set(EXTRA_SETS):
        print(f"usage: setup.py [{'] ['.join(EXTRA_SETS)}]", file=sys.stderr)
        return 2
    try:
        prepare(["run", *names])
    except Refusal as refusal:
        print("\n".join(refusal.args), file=sys.stderr)
        return 2
    except subprocess.CalledProcessError:
        print(INCOMPLETE, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
