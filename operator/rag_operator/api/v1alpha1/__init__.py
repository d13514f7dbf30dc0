"""ragops.dev/v1alpha1: `RAGPipeline`, which users write, and `RAGIndex`, which the operator writes."""
