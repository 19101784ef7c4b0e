"""A fake Stripe API on loopback: stateful, compatible with the official SDK, with fault injection.

`app.py` processes a request. `store.py` holds the state, `ledger.py` and `refunds.py` implement the operations on it,
`cards.py` defines the outcomes of test cards. `faults.py` and `fault_spec.py` define the faults, `webhooks.py` sends
events. `web.py` and `control.py` are the HTTP routes, and `server.py` starts and stops the server.
"""
