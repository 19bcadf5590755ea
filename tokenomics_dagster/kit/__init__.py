"""How a room hangs in Dagster, and what a person hears and sees of it."""
