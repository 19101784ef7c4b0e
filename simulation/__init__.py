"""The payment backend in one process, under faults: every run is made from a seed, and the seed replays it.

Read in this order: `scheduler` (virtual time), `faults` (what may go wrong), `effects` (where it strikes), `machine`
and `cloud` (what AWS does), `work` (what is asked of the system), `world` (all of it wired, with the domain's own code
in the middle), `actors` (whoever acts from outside), `invariants` (what must hold), `run` (one seed from start to
verdict), `report` (what a person sees).
"""

import lib  # noqa: F401 - it puts the domain on the path
