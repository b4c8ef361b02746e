"""Routes of the self-hosted archive, one file a family."""
