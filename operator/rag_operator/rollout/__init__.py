"""Rollouts: pure decisions about revisions, from identity to traffic."""
