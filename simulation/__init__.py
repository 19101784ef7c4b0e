"""The payment backend in one process, under faults. Every run is made from a seed, and the seed replays it.

Read in this order: `scheduler` (virtual time), `faults` (what may go wrong), `effects` (where faults strike), `machine`
and `cloud` (AWS), `work` (the payments of a run), `world` (all of it wired around the domain's own code), `actors`
(clients, operators and other outside actors), `invariants` (what must hold), `run` (one seed from start to verdict),
`report` (the output). `load` and `overload` are worlds of their own: many payments at a gateway with a rate, and few
faults.
"""
