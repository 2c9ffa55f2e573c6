"""Errors of this package.

::

    ExportError (ValueError)            the model or the options cannot be exported
    ├── UnsupportedLayerError           a layer that has no trainable form of builtin ops
    ├── ModelFileError                  a file that is not a Keras model, or one that cannot be read
    ├── SigningKeyError                 what should sign the bundle is no private key of the right kind
    ├── TargetExistsError (FileExistsError)  something is where the bundle should be
    └── ConversionError                 the converter failed, or the result does not compute what Keras computes
    BundleError (ValueError)            a bundle cannot be used
    ├── BundleFormatError               it is not a bundle, or one of an unknown format
    └── BundleAltered                   a file is missing, truncated, changed, or the signature does not fit
    DoesNotFitError (ValueError)        no part of a network trains within the limits
    TensorFileError (ValueError)        bytes that are not a well-formed safetensors file
"""

from __future__ import annotations

__all__ = [
    "BundleAltered",
    "BundleError",
    "BundleFormatError",
    "ConversionError",
    "DoesNotFitError",
    "ExportError",
    "ModelFileError",
    "SigningKeyError",
    "TargetExistsError",
    "TensorFileError",
    "UnsupportedLayerError",
]


class ExportError(ValueError):
    """The model or the options cannot be exported; nothing was written."""


class UnsupportedLayerError(ExportError):
    """A layer that has no trainable form of builtin ops."""


class ModelFileError(ExportError):
    """A file that is not a Keras model, or one that cannot be read."""


class SigningKeyError(ExportError):
    """What should sign the bundle is no private key of the right kind."""


class TargetExistsError(ExportError, FileExistsError):
    """Something is where the bundle should be, and may not be replaced."""


class ConversionError(ExportError):
    """The converter failed, or the result does not compute what Keras computes.

    Attributes
    ----------
    output
        What the converter wrote, many lines for whoever has to find the cause; empty if it wrote nothing.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class BundleError(ValueError):
    """A bundle cannot be used."""


class BundleFormatError(BundleError):
    """Not a bundle, or a bundle of a format this version does not know."""


class BundleAltered(BundleError):
    """A file of the bundle is missing, truncated or changed, or its signature does not fit."""


class DoesNotFitError(ValueError):
    """No part of a network trains within the limits, or the bundle does not say what its steps cost."""


class TensorFileError(ValueError):
    """Bytes that are not a well-formed safetensors file."""
