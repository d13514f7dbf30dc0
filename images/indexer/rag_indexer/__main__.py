"""`python -m rag_indexer`."""

from __future__ import annotations

import sys

from rag_indexer.cli import main

sys.exit(main())
