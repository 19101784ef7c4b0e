"""In-memory implementations of the ports for tests, the simulation and cost counting. Never in the Lambda package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lambda_src"))
