"""The only importer of the Kubernetes client: requests, server-side apply, the lease."""
