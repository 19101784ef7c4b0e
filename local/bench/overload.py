"""REST payments at three times the gateway's rate for ten minutes, in virtual time: what each one costs.

Beside it stands what a payment took before there were tickets (`BEFORE`), and how much of the rate a batch uses beside
REST payments.
"""

import sys
from math import ceil

from simulation.load import Load

RATE, SECONDS, LIMIT_SECONDS = 5, 600, 60
BEFORE = "31 transitions (at most 121) and 51 data keys after five minutes at a rate of 2, and growing"


def main() -> int:
    """Print the figures. Returns 1 if the gateway answered 429 or a message became a dead letter."""
    load = Load(RATE, LIMIT_SECONDS, lost_cards=0.05)
    load.recover()
    load.batch(100)
    load.rest(3 * RATE, SECONDS)
    load.run(SECONDS)
    takes, refused = load.per_payment, load.counts["429 of the gateway"]
    sys.stdout.write("REST at three times the gateway's rate, ten virtual minutes:\n")
    sys.stdout.write(f"  429 of the gateway: {refused}; dead letters: {len(load.dead_letters)}\n")
    sys.stdout.write(
        f"  a payment takes {takes['executions']:.2f} executions, {takes['transitions']:.1f} transitions (at most "
        f"{takes['most transitions']:.0f}), {takes['data keys']:.2f} data keys; before: {BEFORE}\n"
    )
    sys.stdout.write(
        f"  {load.counts['429 of the API']:,} of {3 * RATE * SECONDS:,} turned away; messages handed back: "
        f"{load.counts['handed back']}\n"
    )
    beside = Load(rate=25)
    beside.batch(1_500)
    beside.rest(5, 60)
    beside.run(60)
    latencies = sorted(beside.latencies())
    sys.stdout.write(
        f"A batch beside 5 REST payments a second: {beside.share_of_slots(10, 60):.0%} of the slots used, REST final "
        f"after {latencies[ceil(0.99 * len(latencies)) - 1]:.2f} s (p99), 429: {beside.counts['429 of the gateway']}\n"
    )
    return int(bool(refused or load.dead_letters or beside.counts["429 of the gateway"]))


if __name__ == "__main__":
    sys.exit(main())
