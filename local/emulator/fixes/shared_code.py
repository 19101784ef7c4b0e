"""Workers share one unpacked copy of a function's code and of each layer.

MiniStack unpacks them for every process: thousands of files each time, seconds of a cold start.
"""

import hashlib
import os
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime

_unpacking = threading.Lock()


class SharedZip(zipfile.ZipFile):
    """A zip file that is unpacked once for all, and linked to from then on."""

    def namelist(self) -> list[str]:
        """Nothing: MiniStack asks only to look each name up on the disk; `extractall` keeps names inside itself."""
        return []

    def extractall(self, path: Any = None, *_: Any) -> None:
        """Make `path`, an empty folder, a link to the one copy of these files."""
        files = sorted((entry.filename, entry.CRC, entry.file_size) for entry in self.filelist)
        digest = hashlib.sha256(repr(files).encode()).hexdigest()[:16]
        shared = Path(tempfile.gettempdir(), f"ministack-code-{digest}")
        with _unpacking:
            if not shared.exists():
                unfinished = shared.with_suffix(".unfinished")
                super().extractall(unfinished, self.filelist)
                unfinished.rename(shared)
        os.rmdir(path)
        os.symlink(shared, path)


def apply() -> None:
    lambda_runtime.zipfile = SimpleNamespace(
        ZipFile=SharedZip,
        BadZipFile=zipfile.BadZipFile,
        LargeFileError=zipfile.LargeZipFile,  # as MiniStack misnames it
    )
