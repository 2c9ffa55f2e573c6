"""What a run can give to a device: the experiment's bundle, and variants of it for devices that cannot train all of it.

A variant is a bundle of its own: a width slice or chosen channels (its manifest's ``part_of``), the network with
channels removed, or the same network pruned, quantized or clustered (``compression``). What a device trains of its
bundle is the plan's cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

import numpy as np

from model_export import tensors
from model_export.bundle import INITIAL, Bundle
from model_export.errors import BundleError, TensorFileError
from model_export.manifest import Manifest
from python_server.errors import ExperimentError
from python_server.parts import Part
from python_server.submodels import WHOLE, Submodel

__all__ = ["Variant", "load_variant", "whole_model"]


@dataclass(frozen=True)
class Variant:
    """A bundle that devices may be given.

    Attributes
    ----------
    name
        As in the experiment; empty for the experiment's own bundle.
    sha256
        The bundle's hash.
    manifest
        What the bundle says.
    submodel
        Which part of the global model it holds.
    """

    name: str
    sha256: str
    manifest: Manifest
    submodel: Submodel

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one sample through the network, forward."""
        return sum(layer.macs for layer in self.manifest.layers)

    @cached_property
    def parameters(self) -> int:
        """Parameters of the network."""
        return sum(layer.parameters for layer in self.manifest.layers)

    @property
    def size(self) -> tuple[int, int, int]:
        """What variants are ordered by: MACs, parameters, and bytes of the stored weights."""
        return self.macs, self.parameters, self.manifest.files[INITIAL].bytes

    @cached_property
    def trained(self) -> tuple[str, ...]:
        """The variables that training changes by a gradient: moving statistics are none of them."""
        return tuple(path for path, variable in self.manifest.variables.items() if variable.trained)

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"variant {self.name!r}" if self.name else "the whole model"

    @property
    def format(self) -> str:
        """Number format of its weights."""
        return str(self.manifest.compression.get("weights", "float32"))

    def step_ms(self, cut: str) -> Optional[float]:
        """Return the time of a step on the machine that exported, in milliseconds; None if it was not measured."""
        measured = self.manifest.costs.measured
        return measured.signatures[self.manifest.training_signature(cut)].step_ms if measured else None


def whole_model(bundle: Bundle) -> Variant:
    """Return the experiment's own bundle as a variant."""
    return Variant("", bundle.sha256, bundle.manifest, WHOLE)


def load_variant(name: str, bundle: Bundle, whole: Bundle) -> Variant:
    """Check a variant against the global model.

    Parameters
    ----------
    name
        What the experiment calls it.
    bundle, whole
        Its bundle, and the experiment's.

    Raises
    ------
    ExperimentError
        It is no part of the global model; the message names the variant, and the variable where there is one.
    model_export.errors.BundleError
        A file of the bundle cannot be read.
    """
    manifest, own = bundle.manifest, whole.manifest
    part = manifest.part_of
    if part is not None and part.bundle != whole.sha256:
        raise ExperimentError(
            f"variant {name!r} ({bundle.path}) is part of another bundle ({part.bundle[:12]}) than model.bundle "
            f"({whole.sha256[:12]}); export it again as a part of that one"
        )
    if (manifest.input.shape, manifest.classes) != (own.input.shape, own.classes):
        raise ExperimentError(f"variant {name!r} ({bundle.path}) has another input or other classes than model.bundle")
    # Names of layers without parameters, such as inputs, are often made up by Keras and differ from model to model.
    with_parameters = [[layer for layer in each.layers if layer.parameters] for each in (manifest, own)]
    for layer, other in itertools.zip_longest(*with_parameters):
        if layer is None or other is None or (layer.name, layer.type) != (other.name, other.type):
            there, here = (f"{each.name!r} ({each.type})" if each else "nothing" for each in (layer, other))
            raise ExperimentError(
                f"variant {name!r} ({bundle.path}) is another network than model.bundle: {there} stands for {here}"
            )
    where: Mapping[str, Part] = manifest.where
    if part is None:
        where = {path: np.ix_(*axes) for path, axes in bundle.kept_channels().items()}
    _check_shapes(name, manifest, own, where)
    held = frozenset(manifest.state)
    names = held if held != frozenset(own.state) else None
    submodel = Submodel(name, bundle.sha256, names, where, _masks(bundle))
    return Variant(name, bundle.sha256, manifest, submodel)


def _check_shapes(name: str, manifest: Manifest, own: Manifest, where: Mapping[str, Part]) -> None:
    whole = own.variables
    for path, variable in manifest.variables.items():
        if path not in whole:
            raise ExperimentError(f"variant {name!r} has a variable {path!r}, which the global model does not")
        # Indexing a number spread over the shape takes no memory, whatever the size.
        full = np.broadcast_to(np.float32(0), whole[path].shape)
        try:
            shape = full[where[path]].shape if path in where else full.shape
        except IndexError:
            raise ExperimentError(
                f"variant {name!r}: {path!r} takes indices that the global model's {list(full.shape)} does not have"
            ) from None
        if shape != variable.shape:
            raise ExperimentError(
                f"variant {name!r}: {path!r} has shape {list(variable.shape)}, but its part of the global model has "
                f"{list(shape)}"
            )


def _masks(bundle: Bundle) -> dict[str, np.ndarray]:
    """Return which weights of a pruned bundle are left, for the variables that were pruned."""
    variables = bundle.manifest.variables
    try:
        stored = tensors.unpack(bundle.read(INITIAL))
        return {
            path: np.unpackbits(stored[f"{path}:mask"].ravel(), bitorder="little", count=int(np.prod(variable.shape)))
            .astype(bool)
            .reshape(variable.shape)
            for path, variable in variables.items()
            if f"{path}:mask" in stored
        }
    except (TensorFileError, ValueError) as error:
        raise BundleError(f"{bundle.path}: {INITIAL}: {error}") from None
