"""`python -m local.bench`: run all benchmarks, one after another."""

import sys

from local.bench import api, cold_start, million, payments, rate_limit, split, synth

if __name__ == "__main__":
    sys.exit(max(benchmark.main() for benchmark in (split, million, synth, cold_start, payments, api, rate_limit)))
from local.bench import api, cold_start, overload, payments, rate_limit, split, synth
    sys.exit(max(benchmark.main() for benchmark in (split, synth, cold_start, overload, payments, api, rate_limit)))
