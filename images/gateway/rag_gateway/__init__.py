"""The gateway: one HTTP endpoint that answers questions from documents, each by exactly one revision of the routing table."""
