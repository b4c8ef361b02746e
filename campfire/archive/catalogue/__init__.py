"""What a served archive keeps and asks in SQL beyond the catalogue's own API."""
