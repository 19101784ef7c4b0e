"""Anchors of the audit log: every hour, the heads of the chains that changed, signed, where they cannot be replaced.

The leaves of an anchor are heads. Each of its parts is sorted by payment and has a Merkle root (RFC 6962); the root of
the anchor is the one over the roots of its parts. An anchor names the hash of the one before it.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import batched

from payments.domain.audit_chain import Leaf

FIRST, LATER = "first/", "anchors/"
"""The prefixes of the first anchor, which lists all chains of before and never expires, and of the others."""
ANCHOR = "anchor.json"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""Before the first payment of any environment."""
PART_LEAVES = 2_000
"""The most leaves of a part: who looks for one payment reads at most one part of each anchor and run."""


def folder_of(number: int) -> str:
    """Where the anchor of this number is. The first one is number 0."""
    return f"{LATER}{number:08}/" if number else FIRST


def key_of(number: int) -> str:
    """The key of an anchor."""
    return folder_of(number) + ANCHOR


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root of a Merkle tree over these hashes."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_of(hashes[:half]) + root_of(hashes[half:])).digest()


def _line(leaf: Leaf) -> str:
    return json.dumps(leaf, separators=(",", ":"))


def root_of_leaves(leaves: Iterable[Leaf]) -> str:
    """The Merkle root of leaves, in hexadecimal."""
    return root_of([hashlib.sha256(b"\x00" + _line(leaf).encode()).digest() for leaf in leaves]).hex()


@dataclass(frozen=True, slots=True)
class Part:
    """A file of leaves: JSON Lines, sorted by payment. `first` and `last` are the payments at its ends."""

    name: str
    leaves: int
    first: str
    last: str
    root: str

    def may_have(self, payment_id: str) -> bool:
        """Whether a leaf of the payment would be in this part."""
        return self.first <= payment_id <= self.last


def parts_of(leaves: Iterable[Leaf], folder: str, owner: str, number: int) -> list[tuple[Part, bytes]]:
    """The leaves as parts, each with its content. `number` is how many parts there are already."""
    made = []
    for count, some in enumerate(batched(sorted(leaves), PART_LEAVES), number):
        part = Part(
            f"{folder}leaves-{owner}-{count:05}.jsonl", len(some), some[0].payment_id, some[-1].payment_id,
            root_of_leaves(some),
        )  # fmt: skip
        made.append((part, "".join(f"{_line(leaf)}\n" for leaf in some).encode()))
    return made


@dataclass(frozen=True, slots=True)
class Anchor:
    """The heads that changed from `since` to `until`, and those of chains that were behind when the last was made.

    `next_since` is where the next anchor begins: `until`, or before it, where a row had changes that the audit log
    did not have yet. `previous` is the hash of the anchor before, "" for the first.
    """

    number: int
    environment_id: str
    since: str
    until: str
    next_since: str
    parts: tuple[Part, ...] = ()
    previous: str = ""
    mac: str = field(default="", compare=False)

    @property
    def root(self) -> str:
        """The Merkle root over all leaves."""
        return root_of([bytes.fromhex(part.root) for part in self.parts]).hex()

    @property
    def leaves(self) -> int:
        """The number of leaves."""
        return sum(part.leaves for part in self.parts)

    @property
    def hash(self) -> str:
        """The hash of everything but the signature."""
        content = asdict(replace(self, mac="")) | {"root": self.root}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def signed_text(self) -> str:
        """What the MAC covers."""
        return json.dumps(["payments.audit.anchor.v1", self.number, self.hash])

    def as_json(self) -> bytes:
        """The anchor as the file that is stored."""
        return json.dumps(asdict(self) | {"root": self.root}, indent=2).encode()


class UnreadableAnchor(Exception):
    """A file that is no anchor."""


def anchor_of(content: bytes) -> Anchor:
    """The anchor in a file. Raises UnreadableAnchor."""
    try:
        values = json.loads(content)
        root = values.pop("root")
        anchor = Anchor(**values | {"parts": tuple(Part(**part) for part in values["parts"])})
        if anchor.root != root:
            raise UnreadableAnchor("its root is not the one of its parts")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableAnchor(f"it is not an anchor: {type(error).__name__}") from None
    return anchor


def leaves_in(content: bytes, part: Part) -> list[Leaf]:
    """The leaves in a part's file. Raises UnreadableAnchor if they are not the ones of the anchor."""
    try:
        leaves = [Leaf(*json.loads(line)) for line in content.splitlines()]
        if root_of_leaves(leaves) == part.root:
            return leaves
    except (ValueError, TypeError):
        pass
    raise UnreadableAnchor(f"{part.name} was changed: its root is not that of the anchor")
