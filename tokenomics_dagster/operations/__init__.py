"""What a person asks about the platform, and what a person decides; each module answers one kind of question."""
