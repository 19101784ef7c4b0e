"""Write anchors: the heads of the audit chains that changed since the last one, signed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from payments.domain.anchor import (
    BEGINNING,
    Anchor,
    Part,
    UnreadableAnchor,
    anchor_of,
    folder_of,
    key_of,
    parts_of,
)
from payments.domain.audit_chain import Leaf
from payments.domain.clock import Clock, iso, parse_iso
from payments.domain.listing import EVERYTHING, Cursor, Where
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.anchor_store import AlreadyStored, AnchorStore
from payments.ports.backup_store import NoSuchObject
from payments.ports.chain_signer import ChainSigner
from payments.ports.payment_listing import PaymentListing

INDEX_LAG = timedelta(minutes=5)
"""An anchor ends this long before now: the indexes have what changed before."""
PAGE_ROWS = 100
MOST_LEAVES = 50_000
"""The leaves that a run holds in memory: about 20 MB."""
RESERVE_SECONDS = 60
"""The remaining time at which a run reads no further page."""
MOVES_ON = frozenset({Status.PENDING, Status.PROCESSING})
"""Statuses that always end in another one, whose change brings the row into a later anchor."""


class AnchorBroken(Exception):
    """The last anchor is not one that this environment signed."""


@dataclass(frozen=True)
class _Progress:
    """How far an anchor is: `searched` is the number of searches that are done, `after` the cursor of the next one."""

    anchor: Anchor
    searched: int = 0
    after: str = ""


@dataclass(frozen=True)
class AnchorRun:
    """Writes one anchor a run, or a part of one that is too large for a run: `continue_later` then starts another.

    It reads the indexes, never a whole table: what changed by status and time, the first time all payments by day.
    Memory is bounded by MOST_LEAVES.
    """

    listing: PaymentListing
    store: AnchorStore
    signer: ChainSigner
    environment_id: str
    clock: Clock
    continue_later: Callable[[], None]
    most_leaves: int = MOST_LEAVES

    def run(self, owner: str, seconds_left: Callable[[], float]) -> Anchor | None:
        """Begin or continue the next anchor. Returns it, or None if another run continues, or has written it.

        `owner` is unique to the run and part of the names of its parts: two runs at a time overwrite nothing, and only
        one of them adds the anchor. Raises AnchorBroken, and EncryptionUnavailable.
        """
        progress = self._begun()
        folder, leaves, begin = folder_of(progress.anchor.number), list[Leaf](), progress
        searches = _searches(progress.anchor)
        while progress.searched < len(searches):
            if progress is not begin and seconds_left() < RESERVE_SECONDS:
                progress = self._flushed(progress, leaves, owner)
                self.store.put(f"{folder}progress.json", _as_json(progress))
                self.continue_later()
                return None
            progress, found = self._page(progress, searches[progress.searched])
            leaves += found
            if len(leaves) >= self.most_leaves:
                progress, leaves = self._flushed(progress, leaves, owner), []
        anchor = self._flushed(progress, leaves, owner).anchor
        anchor = replace(anchor, mac=self.signer.sign(anchor.signed_text))
        try:
            self.store.add(key_of(anchor.number), anchor.as_json())
        except AlreadyStored:
            return None
        return anchor

    def _begun(self) -> _Progress:
        last = self._last()
        number = last.number + 1 if last else 0
        try:
            return _progress_of(self.store.get(f"{folder_of(number)}progress.json"))
        except NoSuchObject:
            now, lag = iso(self.clock()), iso(self.clock() - INDEX_LAG)
            if last is None:  # everything that code of before has written is in it: from now on all heads are signed
                return _Progress(Anchor(number, self.environment_id, iso(BEGINNING), now, lag))
            since = min(last.next_since, lag)
            return _Progress(Anchor(number, self.environment_id, since, lag, lag, previous=last.hash))

    def _last(self) -> Anchor | None:
        """The last complete anchor. Raises AnchorBroken if it is not ours."""
        for number in [*reversed(self.store.numbers()), 0]:
            try:
                anchor = anchor_of(self.store.get(key_of(number)))
            except NoSuchObject:
                continue
            except UnreadableAnchor as error:
                raise AnchorBroken(f"anchor {number}: {error}") from None
            if anchor.number != number or not self.signer.verifies(anchor.signed_text, anchor.mac):
                raise AnchorBroken(f"anchor {number} was replaced: its signature is not valid")
            return anchor
        return None

    def _page(self, progress: _Progress, where: Where) -> tuple[_Progress, list[Leaf]]:
        anchor = progress.anchor
        page = self.listing.all(
            where=where,
            since=parse_iso(anchor.since),
            until=parse_iso(anchor.until),
            limit=PAGE_ROWS,
            after=Cursor.parse(progress.after) if progress.after else None,
        )
        behind = [row.updated_at for row in page.payments if _is_behind(row)]
        anchor = replace(anchor, next_since=min([anchor.next_since, *behind]))
        leaves = [
            Leaf(row.payment_id, row.audited_version, row.audit_hash) for row in page.payments if row.audited_version
        ]
        searched = progress.searched if page.next_cursor else progress.searched + 1
        return _Progress(anchor, searched, page.next_cursor), leaves

    def _flushed(self, progress: _Progress, leaves: Sequence[Leaf], owner: str) -> _Progress:
        anchor = progress.anchor
        for part, content in parts_of(leaves, folder_of(anchor.number), owner, len(anchor.parts)):
            self.store.put(part.name, content)
            anchor = replace(anchor, parts=(*anchor.parts, part))
        return replace(progress, anchor=anchor)


def _searches(anchor: Anchor) -> list[Where]:
    """What is searched for an anchor: the first has all payments, the others what changed, by status."""
    return [Where(status=status) for status in Status] if anchor.number else [EVERYTHING]


def _is_behind(row: Payment) -> bool:
    return row.audited_version < row.version and row.status not in MOVES_ON


def _as_json(progress: _Progress) -> bytes:
    return json.dumps(asdict(progress)).encode()


def _progress_of(content: bytes) -> _Progress:
    values = json.loads(content)
    parts = tuple(Part(**part) for part in values["anchor"]["parts"])
    return _Progress(Anchor(**values["anchor"] | {"parts": parts}), values["searched"], values["after"])
