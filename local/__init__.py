"""The product on one machine: a local AWS, a stand-in gateway, and the tools that bring them up."""

import sys
from pathlib import Path

# the tables of the domain (statuses, handled events, file names) are the local run's too
sys.path.insert(0, str(Path(__file__).parent.parent / "lambda_src"))
