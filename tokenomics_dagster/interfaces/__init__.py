"""The faces of the platform: they show what operations/ return, and hold neither rules nor the database."""
