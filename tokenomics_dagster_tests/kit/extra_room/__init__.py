"""A room as the next ones will be: an asset, its schema, its check, and what it says of itself."""
