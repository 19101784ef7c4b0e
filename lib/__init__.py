"""The infrastructure, imported only at synth: `payment_stack` composes the features in the order a payment takes."""

import sys
from pathlib import Path

# the infrastructure uses the domain's tables: statuses, errors, keys
sys.path.insert(0, str(Path(__file__).parent.parent / "lambda_src"))
