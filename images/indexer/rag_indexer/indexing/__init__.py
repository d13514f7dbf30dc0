"""Making an index equal to its sources: what differs, what that takes, and writing it so that the next pass repairs a crash anywhere."""
