"""A recurrent network over words, as phone keyboards predict the next one with.

After Hard et al., Federated Learning for Mobile Keyboard Prediction, 2018, section 3: an embedding and one small LSTM.
There the LSTM's gates are coupled and the embedding is shared with the output; here both are Keras's own layers.
"""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["keyboard_lstm"]


def keyboard_lstm(
    input_shape: tuple[int], classes: int, *, vocabulary: int = 10_000, width: int = 96, units: int = 128
) -> Any:
    """Embedding, LSTM, dense.

    Parameters
    ----------
    input_shape
        Words that the network sees.
    classes
        Words that it may predict, or other classes.
    vocabulary
        Words that it may see; a word is its number, ``0 … vocabulary - 1``.
    width
        Numbers that stand for a word.
    units
        Of the LSTM.

    Returns
    -------
    keras.Model
        Ends in logits; takes the numbers of words, as float32.
    """
    if len(input_shape) != 1:
        raise ValueError("it takes a row of words, as in 10")
    inputs = keras.Input(input_shape)
    x = keras.layers.Embedding(vocabulary, width, name="embedding")(inputs)
    x = keras.layers.LSTM(units, name="lstm")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="keyboard_lstm")
