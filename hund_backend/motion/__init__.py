"""What needs time: contacts, ground, world."""
