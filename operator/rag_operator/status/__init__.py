"""What people are told: conditions, the summary in status, and the Events of a transition. Pure."""
