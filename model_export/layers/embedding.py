"""``Embedding``: a row of a table for each token."""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, unsupported_setting
from model_export.ops.tensor import Tensor

__all__ = ["EmbeddingRule"]


class EmbeddingRule(LayerRule):
    """``Embedding``.

    The bundle's input is float32, as that of every bundle: token ids come as floats, which are exact up to 16 million,
    and become integers here. An id outside of the table is taken for the nearest one inside.
    """

    passes_gradient = False

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(
            layer,
            mask_zero=False,
            lora_enabled=False,
            quantization_mode=None,
            embeddings_regularizer=None,
            embeddings_constraint=None,
        )

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        table = call.variables["embeddings"]
        tokens = tf.cast(tf.minimum(tf.maximum(call.inputs[0], 0.0), float(layer.input_dim - 1)), tf.int32)

        def backward(dy: Tensor) -> Gradients:
            # The rows of a token that comes twice are added up, in TensorFlow as in TFLite.
            places = tf.reshape(tokens, [-1, 1])
            rows = tf.reshape(dy, [places.shape[0], layer.output_dim])
            return Gradients((), {"embeddings": tf.scatter_nd(places, rows, table.shape)})

        return Applied(tf.gather(table, tokens), backward)
