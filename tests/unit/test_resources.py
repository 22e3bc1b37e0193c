"""One look-up for data folders, proven where it runs: in a checkout, and in an installation from the wheel we publish."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline import resources
from pipeline.errors import UsageError

ROOT = Path(__file__).parents[2]
FOLDERS = ("schemas", "keywords", "sql")
ASK = "from pipeline.resources import data_folder; import sys; print(data_folder(sys.argv[1]))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real wheel, built from this checkout without network and laid out as an installer lays it out."""
    built = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = built.glob("liuhen-*.whl")
    target = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def folder_seen_by_a_child(name: str, *, path: Path, cwd: Path) -> Path:
    """Ask a fresh Python that finds `pipeline` under `path` and nowhere else."""
    libraries = [entry for entry in sys.path if entry and not (Path(entry) / "pipeline").is_dir()]
    code = f"import sys; sys.path[:0] = [{str(path)!r}]; sys.path += {libraries!r}; {ASK}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # -S: no site-packages of its own, so an editable install of this checkout cannot answer instead.
    done = subprocess.run([sys.executable, "-S", "-c", code, name], cwd=cwd, env=environment, check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.mark.parametrize("name", FOLDERS)
def test_an_installed_wheel_reads_its_own_copy_inside_the_package(name: str, installed: Path, tmp_path: Path) -> None:
    assert folder_seen_by_a_child(name, path=installed, cwd=tmp_path) == installed / "pipeline" / "_data" / name


@pytest.mark.parametrize("name", FOLDERS)
def test_the_wheel_carries_every_file_of_the_folder_unchanged(name: str, installed: Path) -> None:
    carried = files_below(installed / "pipeline" / "_data" / name)
    assert carried
    assert carried == files_below(ROOT / name)


def test_the_wheel_carries_every_file_of_the_package_unchanged(installed: Path) -> None:
    carried = {name: content for name, content in files_below(installed / "pipeline").items() if not name.startswith("_data/")}
    assert carried == files_below(ROOT / "pipeline")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_checkout_reads_the_folder_beside_the_package(name: str, tmp_path: Path) -> None:
    assert folder_seen_by_a_child(name, path=ROOT, cwd=tmp_path) == ROOT / name


def test_a_wheel_holds_the_package_and_nothing_else_of_the_checkout(installed: Path) -> None:
    assert sorted(entry.name for entry in installed.iterdir() if not entry.name.endswith(".dist-info")) == ["pipeline"]


def test_the_wheel_brings_the_command_liuhen_and_its_licence(installed: Path) -> None:
    (info,) = installed.glob("liuhen-*.dist-info")
    assert "liuhen = pipeline.cli:main" in (info / "entry_points.txt").read_text()
    assert sorted(file.name for file in (info / "licenses").iterdir()) == ["LICENSE", "NOTICE"]


def test_an_installation_without_the_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipeline").mkdir()
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "pipeline" / "resources.py"))
    resources.data_folder.cache_clear()
    try:
        with pytest.raises(UsageError) as caught:
            resources.data_folder("schemas")
    finally:
        resources.data_folder.cache_clear()
    assert caught.value.code == "DATA_FOLDER_MISSING"
    assert str(caught.value) == "the folder schemas/ of this installation is missing; install liuhen again"
