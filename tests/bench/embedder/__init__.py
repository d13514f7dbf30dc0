"""`python -m bench.embedder`: ours and infinity-emb on the same model, machine and load, in one run, over HTTP."""
