"""A real Kubernetes for tests, built from Go modules and run without a container engine.

Two forms: `cluster.api_only.ApiServer` (etcd, API server and, when asked, controller manager on loopback) and the whole
cluster in a network namespace of its own (`python -m cluster up`). The package needs only the standard library.
"""
