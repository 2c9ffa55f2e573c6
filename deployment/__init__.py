"""What to put where: inventory, connectors, operations."""
