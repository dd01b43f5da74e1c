"""How well services are protected, and whom to tell."""
