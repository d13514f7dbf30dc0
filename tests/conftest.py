"""For all tests: hypothesis repeats itself, so that a red run can be run again, and measures no time, for machines are shared."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("campaign", deadline=None)
settings.load_profile("campaign" if os.environ.get("RAG_CAMPAIGN") else "repeatable")
