"""`python -m local.fake_stripe --port 12111`: run a fake Stripe API until it is interrupted."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from local.fake_stripe.app import FakeStripe
from local.fake_stripe.listener import Listener
from local.fake_stripe.server import url_of, wsgi_server


def main() -> None:
    """Serve on loopback. When it listens, write the URL to standard output and, as JSON, to the ready file."""
    parser = argparse.ArgumentParser(prog="local.fake_stripe", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on loopback; 0 selects a free port")
    parser.add_argument("--ready-file", type=Path, help='file that receives {"url": …, "pid": …}')
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener = Listener()
    signal.signal(signal.SIGUSR1, lambda *_: listener.open())
    server = wsgi_server(FakeStripe(), arguments.port, listener=listener)
    sys.stdout.write(f"{url_of(server)}\n")
    sys.stdout.flush()
    if arguments.ready_file:
        unfinished = arguments.ready_file.with_suffix(".tmp")
        unfinished.write_text(json.dumps({"url": url_of(server), "pid": os.getpid()}))
        unfinished.replace(arguments.ready_file)
    server.run()


if __name__ == "__main__":
    main()
