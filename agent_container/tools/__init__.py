"""What the agent can do for a caller; see `registry` for how a tool is written."""
