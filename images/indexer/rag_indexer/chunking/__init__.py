"""From text to chunks, in lengths that the embedding model's own tokenizer counts."""
