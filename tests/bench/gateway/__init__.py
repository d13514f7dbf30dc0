"""What the gateway adds to its upstreams' time, measured over stand-ins that cost next to nothing."""
