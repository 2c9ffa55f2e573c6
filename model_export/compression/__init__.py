"""Training of compressed models: pruned, quantized, clustered. Loading this package loads no TensorFlow."""

from __future__ import annotations

from model_export.compression.options import Cluster, Compression, Prune, PruneChannels, Quantize

__all__ = ["Cluster", "Compression", "Prune", "PruneChannels", "Quantize"]
