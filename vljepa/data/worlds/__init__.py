"""Worlds that are simulated: where actions lead, and what it looks like."""
