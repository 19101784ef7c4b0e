"""The memory that a process used at most."""

import re
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def forget_peak() -> None:
    """Reset the kernel's memory peak, on Linux: otherwise the peak of the imports can hide later use."""
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """The peak since the start or `forget_peak`, in MiB."""
    if _STATUS.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())):
        return int(peak[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes
