"""Setting up on a bare machine: what it says, and what it leaves alone, when it cannot go on.

That it works when it can is shown by `make test` itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Only what setting up reads, in a folder of its own."""
    return copied(tmp_path / "liuhen")


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A checkout in which setting up was tried once and pip found nothing."""
    folder = copied(tmp_path_factory.mktemp("failed") / "liuhen")
    return folder, set_up(folder, PYTHON=sys.executable)


def copied(folder: Path) -> Path:
    """Copy what setting up reads."""
    for name in ("bootstrap", "requirements"):
        shutil.copytree(ROOT / "deploy" / name, folder / "deploy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def set_up(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real thing, with an index that is nowhere so that no test ever fetches anything."""
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout), "PIP_CONFIG_FILE": os.devnull, "PATH": os.defpath, "LANG": "C.UTF-8"}
    script = checkout / "deploy" / "bootstrap" / "with-python.sh"
    command = ["/bin/sh", str(script), str(script.with_name("setup.py")), *arguments]
    return subprocess.run(command, env=nowhere | environment, capture_output=True, text=True, check=False)


def python_of_version(folder: Path, version: str) -> Path:
    """A program that stands where an old Python would: too old for the question, able to tell its version."""
    folder.mkdir()
    program = folder / "python3"
    program.write_text(f'#!/bin/sh\ncase "$2" in *exit*) exit 1 ;; esac\necho {version}\n')
    program.chmod(0o755)
    return folder


def test_what_will_be_fetched_is_listed_before_pip_is_asked_for_anything(failed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    announced, _, afterwards = failed[1].stderr.partition("ERROR:")
    assert "About to fetch" in announced
    assert " MB, from your Python package index into .venv" in announced
    assert "apache-beam 2.77.0 (20 MB)" in announced
    assert "pytest" not in announced
    assert afterwards


def test_the_tests_needs_are_added_to_the_list_only_when_asked_for(checkout: Path) -> None:
    assert "pytest " in set_up(checkout, "dev", PYTHON=sys.executable).stderr


def test_when_pip_cannot_do_it_the_remedy_is_named_and_the_next_run_starts_again(failed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    checkout, first = failed
    for done in (first, set_up(checkout, PYTHON=sys.executable)):
        assert done.returncode == 1
        assert "About to fetch" in done.stderr
        assert "behind a mirror set PIP_INDEX_URL or pip.conf, then run the same command again" in done.stderr
    assert (checkout / ".venv" / "liuhen-installed.txt").read_text() == "unfinished yes\n"


def test_a_pip_wheel_that_is_not_the_committed_one_is_never_run(checkout: Path) -> None:
    (wheel,) = (checkout / "deploy" / "bootstrap").glob("pip-*.whl")
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    done = set_up(checkout, PYTHON=sys.executable)
    assert done.returncode == 2
    assert f"{wheel.name} is not the file its digest in pip.sha256 names: get a fresh copy of the repository" in done.stderr
    assert not (checkout / ".venv").exists()


def test_an_environment_somebody_else_made_is_left_alone(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "mine.txt").write_text("kept")
    done = set_up(checkout, PYTHON=sys.executable)
    assert done.returncode == 2
    assert "was not made by this program: move it away first" in done.stderr
    assert (checkout / ".venv" / "mine.txt").read_text() == "kept"


def test_without_any_python_one_sentence_says_what_to_install(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    done = set_up(checkout, PATH=str(tmp_path / "nothing"))
    assert done.returncode == 2
    assert "liuhen needs Python 3.11 or newer, but there is none here: on Debian or Ubuntu, apt install python3." in done.stderr


def test_an_older_python_is_named_with_its_version(checkout: Path, tmp_path: Path) -> None:
    done = set_up(checkout, PATH=str(python_of_version(tmp_path / "old", "3.9")))
    assert done.returncode == 2
    assert "liuhen needs Python 3.11 or newer, but the one found is 3.9: install a newer one" in done.stderr


def test_an_older_python_first_in_the_path_does_not_hide_a_newer_one(checkout: Path, tmp_path: Path) -> None:
    old = python_of_version(tmp_path / "old", "3.9")
    (old / "python3.11").symlink_to(sys.executable)
    assert "About to fetch" in set_up(checkout, PATH=f"{old}:{os.defpath}").stderr


def test_an_unknown_set_is_refused_with_the_usage(checkout: Path) -> None:
    done = set_up(checkout, "everything", PYTHON=sys.executable)
    assert (done.returncode, done.stderr) == (2, "usage: setup.py [dev] [lock]\n")
