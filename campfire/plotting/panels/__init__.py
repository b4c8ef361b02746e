"""The interactive page that shows objects: one script, in the reference server and in a file of its own."""
