"""A bucket of anchors in memory."""

from payments.domain.anchor import ANCHOR, FIRST, LATER
from payments.ports.anchor_store import AlreadyStored
from payments.ports.backup_store import NoSuchObject


class MemoryAnchorStore:
    """Objects in a dict, each with all its versions. None is a delete marker."""

    def __init__(self) -> None:
        self.versions: dict[str, list[bytes | None]] = {}

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self.versions.setdefault(key, []).append(content)

    def add(self, key: str, content: bytes) -> None:
        """Store an object. Raises AlreadyStored if there is one of this key."""
        if self._is_there(key):
            raise AlreadyStored(key)
        self.put(key, content)

    def get(self, key: str) -> bytes:
        """The newest version of an object. Raises NoSuchObject."""
        newest = self.versions.get(key, [None])[-1]
        if newest is None:
            raise NoSuchObject(key)
        return newest

    def delete(self, key: str) -> None:
        """What an administrator can do although the versions are locked: place a delete marker."""
        self.versions[key].append(None)

    def rewritten(self) -> list[int]:
        """The anchors with more than one version."""
        return sorted(_number_of(key) for key, all_ in self.versions.items() if len(all_) > 1 and key.endswith(ANCHOR))

    def numbers(self) -> list[int]:
        """The folders below `anchors/`."""
        return sorted({_number_of(key) for key in self.versions if key.startswith(LATER) and self._is_there(key)})

    def _is_there(self, key: str) -> bool:
        return self.versions.get(key, [None])[-1] is not None


def _number_of(key: str) -> int:
    return 0 if key.startswith(FIRST) else int(key.removeprefix(LATER).partition("/")[0])
