"""The RAG operator: from one `RAGPipeline` to everything it needs, and from one model to the next without a failed answer."""

__version__ = "0.1.0"
