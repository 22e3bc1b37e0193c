"""The pages as a browser shows them: a picture of each, in which something is to be seen, and not one request that leaves.

Chromium is sent to a proxy on this machine that writes down whatever asks. LIUHEN_PICTURES names a folder to keep the pictures in, to look at them.
"""

from __future__ import annotations

import os
import shutil
import socketserver
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.home import Home
from tests.cli.inside import Answer

pytestmark = pytest.mark.slow
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--metrics-recording-only", "--disable-domain-reliability", "--no-pings", "--disable-dev-shm-usage",
)  # fmt: skip


class Listener:
    """A proxy that answers nothing and remembers who asked for what."""

    def __init__(self) -> None:
        asked: list[str] = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked.append(self.rfile.readline().decode("latin-1").strip())

        self.asked = asked
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def of_page(self) -> list[str]:
        """What was asked, less what the browser itself wants of its maker whatever it shows."""
        return [line for line in self.asked if not any(own in line for own in ("google", "gstatic", "chromium"))]


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.server.shutdown()
    made.server.server_close()


def picture(page: Path, listener: Listener, folder: Path, *, height: int) -> list[bytes]:
    """Take a picture of a page, 1200 wide; return its lines of pixels."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    shot = folder / f"{page.stem}.png"
    proxy = (f"--proxy-server={listener.address}", "--proxy-bypass-list=<-loopback>", f"--user-data-dir={folder / 'profile'}")
    command = [chromium, *QUIET, *proxy, f"--window-size=1200,{height}", f"--screenshot={shot}", page.as_uri()]
    ended = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert shot.exists(), ended.stderr.decode()[-500:]
    if kept := os.environ.get("LIUHEN_PICTURES"):
        shutil.copy(shot, kept)
    return pixels(shot.read_bytes())


def pixels(png: bytes) -> list[bytes]:
    """Return the lines of a PNG of 8 bits a channel, filters undone."""
    at, data, wide, high, channels = 8, b"", 0, 0, 0
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            wide, high, depth, colour = struct.unpack(">IIBB", body[:10])
            assert depth == 8
            channels = {2: 3, 6: 4}[colour]
        data += body if kind == b"IDAT" else b""
        at += 12 + size
    raw, step = zlib.decompress(data), wide * channels
    return [raw[n * (step + 1) : (n + 1) * (step + 1)] for n in range(high)]


@pytest.fixture(scope="module")
def pages(story: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages to look at."""
    folder = tmp_path_factory.mktemp("pages")
    calls: dict[str, list[Any]] = {
        "report": ["audit", "report", "--from", "2026-11-01", "--to", "2026-11-30", "-o", folder / "report.html"],
        "conversation": ["conversation", "wmA|zhangsan", "--html", folder / "conversation.html"], "room": ["conversation", "wr1", "--html", folder / "room.html"],
        "picture": ["conversation", "wmC|zhangsan", "--html", folder / "picture.html"],
    }  # fmt: skip
    for call in calls.values():
        ended = Answer(story, *map(str, call))
        assert ended.code == 0, ended.err
    return {name: folder / f"{name}.html" for name in calls}


@pytest.mark.parametrize(("name", "height"), [("report", 9000), ("conversation", 2200), ("room", 1200), ("picture", 1400)])
def test_a_page_shows_something_and_asks_for_nothing(pages: dict[str, Path], name: str, height: int, listener: Listener, tmp_path: Path) -> None:
    lines = picture(pages[name], listener, tmp_path, height=height)
    assert len(lines) == height
    assert len(set(lines)) > 200, "an empty page has few different lines"
    assert listener.of_page() == []


def test_a_page_that_did_ask_would_be_heard(listener: Listener, tmp_path: Path) -> None:
    page = tmp_path / "asks.html"
    page.write_text('<p>hello<img src="http://elsewhere.example/x.png">')
    picture(page, listener, tmp_path, height=200)
    assert any("elsewhere.example" in line for line in listener.of_page())


def test_the_policy_of_our_pages_stops_what_slips_in(pages: dict[str, Path], listener: Listener, tmp_path: Path) -> None:
    page = tmp_path / "slipped.html"
    slipped = '<img src="http://elsewhere.example/x.png"><script src="http://elsewhere.example/x.js"></script>'
    page.write_text(pages["report"].read_text().replace("</body>", f"{slipped}</body>"))
    picture(page, listener, tmp_path, height=400)
    assert listener.of_page() == []


def test_a_fetched_picture_stands_on_the_page_and_is_seen(pages: dict[str, Path], listener: Listener, tmp_path: Path) -> None:
    assert pages["picture"].read_text().count('<img class="thumb" src="data:image/jpeg;base64,') == 1
    assert 'class="thumb"' not in pages["conversation"].read_text()
    picture(pages["picture"], listener, tmp_path, height=1400)
    assert listener.of_page() == []
