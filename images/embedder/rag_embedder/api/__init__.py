"""The HTTP side: requests parsed, answers built, one small ASGI application."""
