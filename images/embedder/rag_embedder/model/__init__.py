"""A model's files: where they come from, what they say, what identifies them."""
