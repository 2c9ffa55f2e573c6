"""Experiments without devices: the same rounds, strategies and run store over simulated clients and a virtual clock.

Nothing here imports TensorFlow or Flower before it is needed, so that the local engine works where only Keras with
JAX is installed.
"""
