"""Read anchors back: verify them, and look for the heads of payments in them."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta

from payments.domain.anchor import Anchor, Part, UnreadableAnchor, anchor_of, key_of, leaves_in
from payments.domain.audit_chain import AuditEntry, Fault, Leaf, Tampering
from payments.domain.clock import Clock, iso
from payments.ports.anchor_store import AnchorStore
from payments.ports.backup_store import NoSuchObject
from payments.ports.chain_signer import ChainSigner


class AnchorTampered(Exception):
    """An anchor that was replaced, changed or removed. `fault` says which."""

    def __init__(self, number: int, what: str) -> None:
        self.fault = Fault("", 0, Tampering.ANCHOR, f"anchor {number} {what}")
        super().__init__(self.fault.text)


class NoAnchorYet(LookupError):
    """The first anchor is not written yet."""


@dataclass(frozen=True)
class AnchoredHeads:
    """The anchors in a bucket. `kept` is how long the bucket keeps one; the first never expires."""

    store: AnchorStore
    signer: ChainSigner
    clock: Clock
    kept: timedelta

    def was_first(self, head: AuditEntry) -> bool:
        """Whether the first anchor lists this head. Raises AnchorTampered and NoAnchorYet."""
        first = self._anchor(0)
        if first is None:
            raise NoAnchorYet("an unsigned audit entry counts only if the first anchor lists it, and there is none yet")
        leaf = Leaf(head.payment_id, head.sequence, head.hash)
        return any(leaf in self.leaves(first, part) for part in first.parts if part.may_have(head.payment_id))

    def anchors(self, since: str = "") -> Iterator[Anchor]:
        """The first anchor, and then all that end at this time or later, in order; each is verified, and that none is
        missing. Raises AnchorTampered and NoAnchorYet."""
        first = self._anchor(0)
        if first is None:
            raise NoAnchorYet("there is no anchor yet")
        yield first
        last, before = None, first
        numbers = self.store.numbers()
        for number in self.store.rewritten():
            if not number or number >= min(numbers, default=1):
                raise AnchorTampered(number, "was replaced or deleted: the bucket still has its first version")
        if numbers and self._anchor(numbers[-1]) is None:
            numbers = numbers[:-1]  # it is being written
        for number in numbers:
            anchor = self._anchor(number)
            if anchor is None:
                raise AnchorTampered(number, "is missing")
            expired = last is None and anchor.since < iso(self.clock() - self.kept + _DAY)
            if number != before.number + 1 and not expired:
                raise AnchorTampered(before.number + 1, f"is missing: the next one is {number}")
            if number == before.number + 1 and anchor.previous != before.hash:
                raise AnchorTampered(number, f"does not follow anchor {before.number}: one of them was replaced")
            if anchor.until >= since:
                yield anchor
            last = before = anchor

    def next_number(self) -> int:
        """The number of the anchor that is written next."""
        last = next((number for number in reversed(self.store.numbers()) if self._anchor(number)), None)
        return int(self._anchor(0) is not None) if last is None else last + 1

    def leaves(self, anchor: Anchor, part: Part) -> list[Leaf]:
        """The leaves of a part. Raises AnchorTampered."""
        try:
            return leaves_in(self.store.get(part.name), part)
        except NoSuchObject:
            raise AnchorTampered(anchor.number, f"lacks its part {part.name}") from None
        except UnreadableAnchor as error:
            raise AnchorTampered(anchor.number, str(error)) from None

    def of(
        self, payment_ids: Collection[str], since: str, on_anchor: Callable[[], object] = lambda: None
    ) -> dict[str, list[Leaf]]:
        """Payment id → its heads in the anchors since a time. Raises AnchorTampered and NoAnchorYet."""
        found: dict[str, list[Leaf]] = {payment_id: [] for payment_id in payment_ids}
        for anchor in self.anchors(since):
            for part in anchor.parts:
                if any(part.may_have(payment_id) for payment_id in payment_ids):
                    for leaf in self.leaves(anchor, part):
                        if leaf.payment_id in found:
                            found[leaf.payment_id].append(leaf)
            on_anchor()
        return found

    def _anchor(self, number: int) -> Anchor | None:
        try:
            anchor = anchor_of(self.store.get(key_of(number)))
        except NoSuchObject:
            return None
        except UnreadableAnchor as error:
            raise AnchorTampered(number, f"was replaced: {error}") from None
        if anchor.number != number or not self.signer.verifies(anchor.signed_text, anchor.mac):
            raise AnchorTampered(number, "was replaced: its signature is not valid")
        return anchor


_DAY = timedelta(days=1)
