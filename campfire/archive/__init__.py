"""The archive side: served to others, made from a folder of files, or simulated with known truth."""
