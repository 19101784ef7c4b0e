"""`python -m local.bench`: run all benchmarks, one after another."""

import sys

from local.bench import api, cold_start, million, payments, rate_limit, report, split, synth

if __name__ == "__main__":
    benchmarks = (split, million, report, synth, cold_start, payments, api, rate_limit)
    sys.exit(max(benchmark.main() for benchmark in benchmarks))
