"""payctl: the operator's command line, for a stack on AWS and for the local one alike."""

import sys
from pathlib import Path

# ids, statuses, tables and refusals are the domain's own: what payctl says is what the functions do
sys.path.insert(0, str(Path(__file__).parent.parent / "lambda_src"))
