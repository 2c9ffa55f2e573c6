"""How tasks come and replies go: one small interface, and Flower's Fleet API behind it."""
