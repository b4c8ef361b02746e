"""Drawing functions on plain arrays."""
