"""`liuhen simulate`: it says where it is, serves until it is ended, and takes no folder that is not its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.simulate.live import Live
from tests.cli.liuhen import ROOT
from tests.simulate.doubles import double


@pytest.mark.slow
def test_it_prints_where_it_is_and_serves_until_it_is_ended(tmp_path: Path) -> None:
    folder = tmp_path / "sim"
    words = ["simulate", "--messages", "500", "--port", "0", "--per-minute", "6000", "-o", str(folder)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "LIUHEN_LANG": "en"}
    for _ in range(2):  # the second one takes the place of the first
        with subprocess.Popen([sys.executable, "-m", "pipeline.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert told == {"demo": True, "base": told["base"], "proxy": told["base"], "corp_id": "wwdemo000000000001", "folder": str(folder)}
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{told['base']}/_admin/state", timeout=60) as answer:
                assert json.loads(answer.read())["records"] >= 500
            process.send_signal(signal.SIGTERM)
            try:
                _, err = process.communicate(timeout=120)
            finally:
                process.kill()  # else leaving `with` would wait for it
            assert process.returncode == 0
            assert "DEMO DATA" in err and f"liuhen config set wecom.base_url {told['base']}" in err
    assert [p.stat().st_mode & 0o777 for p in sorted((folder / "secrets").iterdir())] == [0o600] * 4
    assert (folder / "ca.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_it_takes_no_folder_that_is_not_its_own(tmp_path: Path) -> None:
    from pipeline.cli.simulate import _own_folder

    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UsageError) as refused:
        _own_folder(tmp_path)
    assert refused.value.code == "DEMO_FOLDER" and (tmp_path / "mine").read_text() == "precious"


def test_people_go_on_talking_while_it_lives(tmp_path: Path) -> None:
    made = double(tmp_path)
    before = len(made.stream)
    live = Live(made, per_minute=60_000, tick_s=0.01)
    end = time.monotonic() + 120
    while len(made.stream) < before + 20 and time.monotonic() < end:
        time.sleep(0.01)
    live.close()
    after = len(made.stream)
    assert after >= before + 20 and len(made.stream) == after
