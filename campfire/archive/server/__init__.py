"""The self-hosted archive."""
