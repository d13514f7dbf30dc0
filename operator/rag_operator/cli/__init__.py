"""`kubectl rag`: pipelines as people look at them. It reads objects and writes annotations, nothing else."""
