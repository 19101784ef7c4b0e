"""A stand-in for the Stripe API on loopback: stateful, driven by the official SDK, misbehaving on request.

`stand_in.py` is the road of one request; `ledger.py` what is remembered; `cards.py` how test cards come out;
`web.py` puts it on HTTP and `server.py` starts and stops it.
"""
