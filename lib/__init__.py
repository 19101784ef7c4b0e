"""The infrastructure: one construct per concern, wired in reading order by `payment_stack`. Only used at synth."""

import sys
from pathlib import Path

# the domain's tables (statuses, errors, keys) are the infrastructure's too
sys.path.insert(0, str(Path(__file__).parent.parent / "lambda_src"))
