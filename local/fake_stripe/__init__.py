"""A stand-in for the Stripe API on loopback: stateful, driven by the official SDK, misbehaving on request.

`stand_in.py` is the road of one request; `books.py` what is remembered, and `ledger.py` and `refunds.py` what can be
done with it; `cards.py` how test cards come out. `faults.py` and `words.py` are what can go wrong, `webhooks.py` what
is sent out. `web.py` and `control.py` put it on HTTP and `server.py` starts and stops it.
"""
