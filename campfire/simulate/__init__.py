"""A simulated archive with known truth."""
