"""`python -m local.bench`: run all benchmarks, one after another."""

import sys

from local.bench import api, cold_start, million, overload, payments, rate_limit, split, synth

if __name__ == "__main__":
    benchmarks = (split, million, synth, cold_start, overload, payments, api, rate_limit)
    sys.exit(max(benchmark.main() for benchmark in benchmarks))
