"""Keras model to bundle."""
