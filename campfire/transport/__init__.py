"""The remote catalogue: the only place that speaks HTTP."""
