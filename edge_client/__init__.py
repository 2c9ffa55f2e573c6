"""The Python client: trains a bundle on a board and speaks Flower's Fleet protocol."""
