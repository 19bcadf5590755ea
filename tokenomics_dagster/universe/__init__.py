"""Which stocks exist, and which of them the platform follows."""
