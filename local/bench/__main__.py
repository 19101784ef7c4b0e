"""`python -m local.bench`: run all benchmarks, one after another."""

import sys

from local.bench import api, backup, cold_start, million, overload, payments, rate_limit, recovery, report, split, synth

BENCHMARKS = (split, million, report, backup, recovery, synth, cold_start, overload, payments, api, rate_limit)

if __name__ == "__main__":
    sys.exit(max(benchmark.main() for benchmark in BENCHMARKS))
