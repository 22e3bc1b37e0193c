"""What a process and all that it starts use: wall, CPU seconds, and the peak memory of each.

CPU is the figure to trust on a shared machine; it is the kernel's own sum for a process and the children it waited for.
Peak memory is VmHWM of /proc, read while they live: a peak is never missed, only what a process took in its last tenth of a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

LIBRARIES = ("apache-beam", "pyarrow", "cryptography", "duckdb", "deltalake", "ahocorasick-rs", "msgspec", "zstandard")
SAMPLE_S = 0.1
CPU_MASK = "OPENSSL_ia32cap"  # spelled like this by OpenSSL


class Used(NamedTuple):
    """Seconds on the clock and of CPU, peak MB of every process with more than 40 MB (largest first), and what it printed last."""

    wall_s: float
    cpu_s: float
    peaks_mb: tuple[int, ...]
    said: str

    @property
    def cores(self) -> float:
        """How many cores were really had."""
        return self.cpu_s / self.wall_s


def run(module: str, *arguments: str) -> Used:
    """Run `python -m module arguments` to its end; raises RuntimeError when it fails."""
    begun = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        peaks: dict[int, int] = {}
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks, over), daemon=True)
        watcher.start()
        before = _children_s()
        out, err = process.communicate()
        wall = time.monotonic() - begun
        over.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError(err[-2000:])
    shown = tuple(sorted((kb // 1024 for kb in peaks.values() if kb > 40 * 1024), reverse=True))
    return Used(wall, _children_s() - before, shown, out.strip().splitlines()[-1])


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _watch(root: int, peaks: dict[int, int], over: threading.Event) -> None:
    while not over.wait(SAMPLE_S):
        for pid in family(root):
            peaks[pid] = max(peaks.get(pid, 0), peak_kb(pid))


def family(root: int) -> list[int]:
    """Return the process and all that descend from it."""
    found, todo = [], [root]
    while todo:
        found.append(pid := todo.pop())
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                todo += map(int, listed.read_text().split())
            except OSError:
                continue
    return found


def peak_kb(pid: int) -> int:
    """Return the peak resident memory of a process in kB; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def machine() -> str:
    """Return what the figures depend on: Python, libraries, OpenSSL, CPU and its flags."""
    from cryptography.hazmat.backends.openssl import backend

    cpu = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in cpu.splitlines() if line.startswith("model name")), "?")
    flags = set(next((line.split(":", 1)[1].split() for line in cpu.splitlines() if line.startswith("flags")), []))
    shown = ", ".join(f"{f} {'yes' if f in flags else 'NO'}" for f in ("avx512ifma", "avx512f", "vaes", "sha_ni"))
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"Python {sys.version.split()[0]}, {libraries}; {backend.openssl_version_text()}\n"
        f"{os.cpu_count()} x {model}: {shown}; OPENSSL_ia32cap={os.environ.get(CPU_MASK, '(not set)')}; "
        f"load {os.getloadavg()[0]:.1f}"
    )
