"""The process: watches by kopf (its only importer), leadership, workers, probes, metrics."""
