"""What lasts (the warehouse) and what is published (Redis)."""
