"""`python -m local.bench`: run all benchmarks, one after another."""

import sys

from local.bench import api, cold_start, payments, rate_limit, report, split, synth

if __name__ == "__main__":
    sys.exit(max(benchmark.main() for benchmark in (split, report, synth, cold_start, payments, api, rate_limit)))
