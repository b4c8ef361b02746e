"""Entry points of other libraries."""
