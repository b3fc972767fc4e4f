"""The promises of the project, measured: `make bench` writes docs/benchmarks.md."""
