"""The product on one machine: a local AWS, a fake Stripe, and the tools that start them."""

import sys
from pathlib import Path

# the local run uses the tables of the domain: statuses, handled events, file names
sys.path.insert(0, str(Path(__file__).parent.parent / "lambda_src"))
