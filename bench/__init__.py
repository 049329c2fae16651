"""Benchmarks: womm and its rivals, in the same run. `bench/run` is the program."""
