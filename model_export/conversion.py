"""From TensorFlow functions to a TFLite file of builtin ops only."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from model_export import tflite_file
from model_export.errors import ConversionError
from model_export.quiet import quiet
from model_export.schedule import in_short_lived_order
from model_export.signatures import TrainableModel

__all__ = ["convert", "convert_in_any_order", "to_tflite"]

# The first signature is the one that a runtime plans memory for when it loads the file, whether it is run or not, and
# the converter sorts them by name. So the smallest is given a name that comes first. (``get`` would be smaller, but
# TensorFlow Lite's Java interface refuses a first signature without inputs.)
_FIRST = "set"


def _sorted_name(name: str) -> str:
    return f"a_{name}" if name == _FIRST else name


def convert(model: TrainableModel) -> bytes:
    """Return the TFLite file of ``model``, its ops in an order that saves memory.

    Raises
    ------
    ConversionError
        The converter failed, or it needed an op that no runtime has built in.
    OSError
        The disk is full.
    """
    return in_short_lived_order(convert_in_any_order(model))


def convert_in_any_order(model: TrainableModel) -> bytes:
    """Return the TFLite file of ``model`` with its ops as the converter leaves them; errors as in `convert`."""

    def configure(converter: Any) -> None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.experimental_enable_resource_variables = True

    signatures = {_sorted_name(name): function for name, function in model.concrete.items()}
    content = to_tflite(model, signatures, configure=configure)
    return tflite_file.rename_signature(content, _sorted_name(_FIRST), _FIRST)


def to_tflite(module: Any, signatures: Mapping[str, Any], *, configure: Callable[[Any], None]) -> bytes:
    """Return the TFLite file of a module's signatures.

    Parameters
    ----------
    module
        A ``tf.Module``.
    signatures
        Concrete functions by name.
    configure
        Sets the options of the ``tf.lite.TFLiteConverter`` that it is given.

    Raises
    ------
    ConversionError
        The converter failed, or it needed an op that no runtime has built in.
    OSError
        The disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="pocketfleet-") as saved, quiet() as noise:
        try:
            tf.saved_model.save(
                module,
                saved,
                signatures=dict(signatures),
                options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
            )
            converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=list(signatures))
            configure(converter)
            content: bytes = converter.convert()
        except OSError:
            raise
        except Exception as error:  # The converter's own errors share no class.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConversionError(
                f"TensorFlow's converter failed: {reason}; please report this with the model; trainable=LAYER or a "
                "model of fewer layers shows which layer it is about",
                noise(),
            ) from error
    foreign = tflite_file.foreign_ops(content)
    if foreign:
        raise ConversionError(f"the model needs {', '.join(foreign)}, which no TFLite runtime has built in")
    return content
