"""Remove the index addresses from Pipfile.lock: it then installs from the index that pip is configured for."""

import json
import sys
from pathlib import Path

path = Path(sys.argv[1] if len(sys.argv) > 1 else "Pipfile.lock")
lock = json.loads(path.read_text())
lock["_meta"]["sources"] = []
for section in lock.values():
    for package in section.values():
        if isinstance(package, dict):
            package.pop("index", None)
path.write_text(json.dumps(lock, indent=4, sort_keys=True) + "\n")
