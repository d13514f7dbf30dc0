"""An OpenAI-compatible embeddings server with two lanes, for one model, on CPU or GPU."""
