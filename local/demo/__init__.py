"""The demonstration: `scenario` says what is sent and what must come out, `run` does it, `listener` hears the events,
`checks` compares, `report` draws the tables."""

import sys
from pathlib import Path

# statuses, batches and audit entries are read with the domain's own code
sys.path.insert(0, str(Path(__file__).parents[2] / "lambda_src"))
