"""The catalogue as a client asks it: the one on this disk, or the service."""
