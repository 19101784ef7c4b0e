"""payctl: the operator's command line, for a stack on AWS or on this machine."""

import sys
from pathlib import Path

# payctl uses the domain's own ids, statuses, tables and errors, as the functions do
sys.path.insert(0, str(Path(__file__).parent.parent / "lambda_src"))
