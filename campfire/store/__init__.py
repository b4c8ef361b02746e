"""The local catalogue: SQLite, and the files it knows of."""
