"""Run a command and print its peak use of this machine.

    python tools/peak.py COMMAND [ARGUMENT ...]

The exit code is that of the command. It measures the number of processes of the command and its descendants, the
increase of used memory on the whole machine since the start, and the load average of one minute. It measures only on
Linux. On other systems it only runs the command.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

EVERY_SECONDS = 1.0
PROC = Path("/proc")


def main() -> int:
    """Run the command in sys.argv."""
    process = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the command too
    signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(over,))
    if PROC.exists():
        watch.start()
    code = process.wait()
    over.set()
    if PROC.exists():
        watch.join()
    return code if code >= 0 else 128 - code


def _watch(over: threading.Event) -> None:
    before, processes, memory, load = _memory_in_use(), 0, 0, 0.0
    while not over.wait(EVERY_SECONDS):
        processes = max(processes, _processes())
        memory = max(memory, _memory_in_use() - before)
        load = max(load, os.getloadavg()[0])
    text = f"peak use: {processes} processes, {memory / 2**20:.1f} GB, load {load:.1f} on {os.cpu_count()} cores"
    print(text, file=sys.stderr)  # noqa: T201 - the output of this command


def _memory_in_use() -> int:
    """The used memory of the machine in KiB."""
    lines = (PROC / "meminfo").read_text().splitlines()
    values = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return values["MemTotal"] - values["MemAvailable"]


def _processes() -> int:
    """The number of descendants of this process."""
    parents = dict(filter(None, map(_parent, PROC.iterdir())))
    ours = {os.getpid()}
    born = True
    while born:
        born = {pid for pid, parent in parents.items() if parent in ours} - ours
        ours |= born
    return len(ours) - 1


def _parent(entry: Path) -> tuple[int, int] | None:
    if not entry.name.isdigit():
        return None
    try:
        return int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # the process has ended
        return None


if __name__ == "__main__":
    sys.exit(main())
