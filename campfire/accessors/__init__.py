"""The ``.campfire`` accessors: forwarding only."""
