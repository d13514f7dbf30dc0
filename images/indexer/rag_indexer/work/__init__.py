"""The commands: each takes a RAGIndex and a context, does its work and returns a summary."""
