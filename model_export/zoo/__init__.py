"""Architectures by name, one family a file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model_export.errors import ExportError
from model_export.zoo.keyboard_lstm import keyboard_lstm
from model_export.zoo.mlp import mlp
from model_export.zoo.mobilenet_v1 import mobilenet_v1
from model_export.zoo.mobilenet_v2 import mobilenet_v2
from model_export.zoo.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from model_export.zoo.resnet import resnet18, resnet20
from model_export.zoo.sensor_cnn import sensor_cnn
from model_export.zoo.sensor_lstm import sensor_lstm
from model_export.zoo.shufflenet_v2 import shufflenet_v2
from model_export.zoo.small_cnn import small_cnn

__all__ = ["ARCHITECTURES", "Architecture", "build"]


@dataclass(frozen=True)
class Architecture:
    """A way to build networks; they take ``pixel * input_scale + input_offset``."""

    build: Callable[..., Any]
    input_scale: float
    input_offset: float

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options beyond input shape and classes."""
        parameters = inspect.signature(self.build).parameters.values()
        return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


ARCHITECTURES: dict[str, Architecture] = {
    "keyboard_lstm": Architecture(keyboard_lstm, 1.0, 0.0),
    "mlp": Architecture(mlp, 1.0, 0.0),
    "mobilenet_v1": Architecture(mobilenet_v1, 1 / 127.5, -1.0),
    "mobilenet_v2": Architecture(mobilenet_v2, 1 / 127.5, -1.0),
    "mobilenet_v3_large": Architecture(mobilenet_v3_large, 1 / 127.5, -1.0),
    "mobilenet_v3_small": Architecture(mobilenet_v3_small, 1 / 127.5, -1.0),
    "resnet18": Architecture(resnet18, 1 / 255, 0.0),
    "resnet20": Architecture(resnet20, 1 / 255, 0.0),
    "sensor_cnn": Architecture(sensor_cnn, 1.0, 0.0),
    "sensor_lstm": Architecture(sensor_lstm, 1.0, 0.0),
    "shufflenet_v2": Architecture(shufflenet_v2, 1 / 255, 0.0),
    "small_cnn": Architecture(small_cnn, 1 / 255, 0.0),
}


def build(name: str, input_shape: tuple[int, ...], classes: int, **options: Any) -> Any:
    """Build a network.

    Parameters
    ----------
    name
        A key of `ARCHITECTURES`.
    input_shape
        Height, width, channels; or what else the architecture takes.
    classes
        Number of classes.
    **options
        The architecture's own options.

    Returns
    -------
    keras.Model
        Takes ``pixel * input_scale + input_offset`` of its `Architecture`.

    Raises
    ------
    ExportError
        There is no such architecture or option, or the architecture cannot be built with these values.
    """
    architecture = ARCHITECTURES.get(name)
    if architecture is None:
        raise ExportError(f"no architecture is called {name!r}; there are {', '.join(ARCHITECTURES)}")
    unknown = sorted(set(options) - set(architecture.options))
    if unknown:
        raise ExportError(f"{name} has no option {unknown[0]!r}; it has {', '.join(architecture.options)}")
    try:
        return architecture.build(input_shape, classes, **options)
    except ExportError:
        raise
    except (ValueError, TypeError) as error:
        raise ExportError(
            f"{name} cannot be built for input {list(input_shape)} and {classes} classes: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """Return one line; the first line of an error inside of a Keras layer only says in which layer."""
    lines = [re.sub(r"\x1b\[\d+m", "", line).strip() for line in str(error).splitlines()]
    within = re.fullmatch(r"Exception encountered when calling (\w+)\.call\(\)\.", lines[0]) if lines else None
    told = [line for line in lines[1 if within else 0 :] if line]
    return (f"{within[1]}: " if within else "") + (told[0] if told else type(error).__name__)
