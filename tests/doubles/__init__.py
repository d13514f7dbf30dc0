"""Stand-ins for the data plane's upstreams, with faults on demand, and a gateway as a process: for tests and benchmarks."""
