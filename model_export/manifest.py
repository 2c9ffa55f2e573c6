"""What a bundle says about itself: ``manifest.json`` as typed values (``docs/bundle.md``)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Optional, Union

from model_export.costs import Costs, Measured, Measurement, StepSize, largest_that_fits
from model_export.errors import BundleFormatError
from model_export.part import PartOf, Parts, Where

__all__ = [
    "FORMAT",
    "MAX_MANIFEST_BYTES",
    "FileEntry",
    "InputSpec",
    "Layer",
    "Manifest",
    "Signature",
    "TensorSpec",
    "Variable",
]

FORMAT = 2
MAX_MANIFEST_BYTES = 32 * 2**20


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a signature's input or output."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class InputSpec:
    """What the network takes: ``shape`` without the batch axis; a pixel is fed as ``pixel * scale + offset``."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    offset: float


@dataclass(frozen=True)
class Variable:
    """One state variable: ``path`` is the Keras variable path, ``trained`` tells whether an optimizer updates it."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    trained: bool


@dataclass(frozen=True)
class Layer:
    """One layer of the layer order; sizes are for one sample, ``macs`` in multiply-accumulates."""

    name: str
    type: str
    trained: bool
    inputs: tuple[str, ...]
    output_shape: tuple[int, ...]
    output_dtype: str
    variables: tuple[Variable, ...]
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Signature:
    """A signature of the model; ``updates`` are the paths of the variables it changes."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    updates: tuple[str, ...]


@dataclass(frozen=True)
class FileEntry:
    """Hash and size of a file of the bundle."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``.

    ``base_format`` is how a frozen base holds its numbers, "" without one. ``part_of`` is None where the network is no
    part of another one; the key is then left out.
    """

    format: int
    name: str
    versions: Mapping[str, str]
    minimum_runtime: str
    input: InputSpec
    classes: tuple[str, ...]
    batch_size: int
    trainable: str
    base_format: str
    optimizer: Mapping[str, Any]
    cuts: tuple[str, ...]
    state: tuple[str, ...]
    layers: tuple[Layer, ...]
    signatures: Mapping[str, Signature]
    compression: Mapping[str, Any]
    costs: Costs
    files: Mapping[str, FileEntry]
    part_of: Optional[PartOf] = None

    def training_signature(self, cut: Optional[str] = None) -> str:
        """Return the signature that trains from layer ``cut`` on; None: all that the bundle trains.

        Raises
        ------
        ValueError
            The bundle has no such cut.
        """
        if not cut:
            return "train_head" if "train_head" in self.signatures else "train"
        if cut not in self.cuts:
            raise ValueError(f"bundle {self.name!r} has no cut {cut!r}; it has: {', '.join(self.cuts) or 'none'}")
        # Other characters cannot stand in a signature's name (docs/bundle.md).
        return "train_from_" + re.sub(r"[^A-Za-z0-9_]", "_", cut)

    def trained(self, cut: Optional[str] = None) -> tuple[str, ...]:
        """Return the paths of the variables that training from layer ``cut`` on changes, moving statistics included.

        Raises
        ------
        ValueError
            The bundle has no such cut.
        """
        return self.signatures[self.training_signature(cut)].updates

    def cut_for(
        self,
        *,
        memory_mb: Optional[float] = None,
        step_ms: Optional[float] = None,
        times_slower: float = 1.0,
    ) -> Optional[str]:
        """Choose the largest part of the network that a device can train, by what was measured at export.

        Parameters
        ----------
        memory_mb
            Memory that the device can give to training beyond what the client holds anyway, in 10⁶ bytes; None: any.
        step_ms
            Time that a step may take on the device; None: any.
        times_slower
            How many times slower than the machine that exported the device is; below 1 for a faster one. It
            stretches the times, not the memory.

        Returns
        -------
        str or None
            The cut to train from, or None for all that the bundle trains: what `edge_client.Trainer` takes as ``cut``.

        Raises
        ------
        DoesNotFitError
            Nothing fits, and the message names the smallest needs; or the bundle was not measured.
        ValueError
            A limit is not above 0.
        """
        order = [layer.name for layer in self.layers]
        cuts = [None, *sorted(self.cuts, key=order.index)]
        choices = [(cut, self.training_signature(cut)) for cut in cuts]
        return largest_that_fits(self.costs, choices, memory_mb=memory_mb, step_ms=step_ms, times_slower=times_slower)

    @property
    def variables(self) -> dict[str, Variable]:
        """All state variables by path, in the order of ``state``."""
        found = {variable.path: variable for layer in self.layers for variable in layer.variables}
        return {path: found[path] for path in self.state}

    @property
    def parts(self) -> Parts:
        """Indices of the whole network's variables that this one has, for each axis, by path; {} if it is no part."""
        return {} if self.part_of is None else self.part_of.indices(self._shapes())

    @property
    def where(self) -> dict[str, Where]:
        """What to index the whole network's variables with: slices or `numpy.ix_`; none for those held whole."""
        return {} if self.part_of is None else self.part_of.where(self._shapes())

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {path: variable.shape for path, variable in self.variables.items()}

    def to_json(self) -> bytes:
        """Return the bytes that are signed and hashed."""
        values = asdict(self)
        if self.part_of is None:
            del values["part_of"]
        return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read ``manifest.json``; every key of its format has to be there with its type.

        Raises
        ------
        BundleFormatError
            Not a manifest; the message names the key.
        """
        if len(data) > MAX_MANIFEST_BYTES:
            raise BundleFormatError(f"manifest.json has {len(data)} bytes, more than {MAX_MANIFEST_BYTES}")
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BundleFormatError(f"manifest.json is not JSON: {error}") from None
        if not isinstance(raw, dict):
            raise BundleFormatError("manifest.json is not a JSON object")
        if raw.get("format") != FORMAT:
            raise BundleFormatError(
                f"manifest.json has format {raw.get('format')!r}; this version of pocketfleet reads format {FORMAT}"
            )
        manifest: Manifest = _build(cls, raw, "manifest.json")
        missing = set(manifest.state) - {v.path for layer in manifest.layers for v in layer.variables}
        if missing:
            raise BundleFormatError(f"manifest.json: state names {sorted(missing)[0]!r}, which no layer has")
        manifest._check_costs()
        problem = manifest.part_of and manifest.part_of.problem(manifest._shapes())
        if problem:
            raise BundleFormatError(f"manifest.json: part_of {problem}")
        return manifest

    def _check_costs(self) -> None:
        """Costs are those of all training signatures, so that `cut_for` finds what it looks for."""
        training = {name for name in self.signatures if name.startswith("train")}
        sizes, measured = self.costs.signatures, self.costs.measured
        if set(sizes) != training or (measured is not None and set(measured.signatures) != training):
            raise BundleFormatError("manifest.json: costs are not those of the training signatures")
        if set(self.cuts) - {layer.name for layer in self.layers}:
            raise BundleFormatError("manifest.json: cuts name a layer that is not there")


def _build(kind: Any, raw: object, where: str) -> Any:
    """Turn JSON into the dataclass ``kind``; unknown keys are refused, so that nothing unsigned sneaks in."""
    if not isinstance(raw, dict):
        raise BundleFormatError(f"{where} is not an object")
    defaults = {f.name: f.default for f in fields(kind)}
    unknown = sorted(set(raw) - set(defaults))
    if unknown:
        raise BundleFormatError(f"{where}: unknown key {unknown[0]!r}")
    values = {}
    for name, default in defaults.items():
        if name not in raw:
            if default is not MISSING:
                continue
            raise BundleFormatError(f"{where}: missing key {name!r}")
        values[name] = _READERS[kind, name](raw[name], f"{where}: {name}")
    return kind(**values)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise BundleFormatError(f"{where} is not a string")
    return value


def _natural(value: object, where: str) -> int:
    if type(value) is not int or value < 0:
        raise BundleFormatError(f"{where} is not a natural number")
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BundleFormatError(f"{where} is not a number")
    return float(value)


def _positive(value: object, where: str) -> float:
    number = _number(value, where)
    if not 0 < number < float("inf"):
        raise BundleFormatError(f"{where} is not a number above 0")
    return number


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise BundleFormatError(f"{where} is not true or false")
    return value


def _scalars(value: object, where: str) -> dict[str, Union[str, float, int, bool]]:
    if not isinstance(value, dict) or not all(isinstance(v, (str, int, float, bool)) for v in value.values()):
        raise BundleFormatError(f"{where} is not an object of plain values")
    return value


def _each(read: Any) -> Any:
    def read_list(value: object, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise BundleFormatError(f"{where} is not a list")
        return tuple(read(item, f"{where}[{i}]") for i, item in enumerate(value))

    return read_list


def _by_name(read: Any) -> Any:
    def read_object(value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BundleFormatError(f"{where} is not an object")
        return {name: read(item, f"{where}.{name}") for name, item in value.items()}

    return read_object


def _or_null(read: Any) -> Any:
    return lambda value, where: None if value is None else read(value, where)


def _a(kind: Any) -> Any:
    return lambda value, where: _build(kind, value, where)


def _run(value: object, where: str) -> tuple[int, int]:
    run = _each(_natural)(value, where)
    if len(run) != 2:
        raise BundleFormatError(f"{where} is not [start, stop]")
    return run[0], run[1]


_SHAPE = _each(_natural)
_READERS: dict[tuple[Any, str], Any] = {
    (TensorSpec, "shape"): _SHAPE,
    (TensorSpec, "dtype"): _text,
    (InputSpec, "shape"): _SHAPE,
    (InputSpec, "dtype"): _text,
    (InputSpec, "scale"): _number,
    (InputSpec, "offset"): _number,
    (Variable, "path"): _text,
    (Variable, "shape"): _SHAPE,
    (Variable, "dtype"): _text,
    (Variable, "trained"): _flag,
    (Layer, "name"): _text,
    (Layer, "type"): _text,
    (Layer, "trained"): _flag,
    (Layer, "inputs"): _each(_text),
    (Layer, "output_shape"): _SHAPE,
    (Layer, "output_dtype"): _text,
    (Layer, "variables"): _each(_a(Variable)),
    (Layer, "parameters"): _natural,
    (Layer, "macs"): _natural,
    (Layer, "activation_bytes"): _natural,
    (Signature, "inputs"): _by_name(_a(TensorSpec)),
    (Signature, "outputs"): _by_name(_a(TensorSpec)),
    (Signature, "updates"): _each(_text),
    (StepSize, "trained_parameters"): _natural,
    (StepSize, "activation_bytes"): _natural,
    (Measured, "memory_bytes"): _natural,
    (Measured, "step_ms"): _positive,
    (Measurement, "runtime"): _text,
    (Measurement, "threads"): _natural,
    (Measurement, "machine"): _text,
    (Measurement, "loaded_bytes"): _natural,
    (Measurement, "signatures"): _by_name(_a(Measured)),
    (Costs, "signatures"): _by_name(_a(StepSize)),
    (Costs, "measured"): _or_null(_a(Measurement)),
    (FileEntry, "sha256"): _text,
    (FileEntry, "bytes"): _natural,
    (Manifest, "format"): _natural,
    (Manifest, "name"): _text,
    (Manifest, "versions"): _by_name(_text),
    (Manifest, "minimum_runtime"): _text,
    (Manifest, "input"): _a(InputSpec),
    (Manifest, "classes"): _each(_text),
    (Manifest, "batch_size"): _natural,
    (Manifest, "trainable"): _text,
    (Manifest, "base_format"): _text,
    (Manifest, "optimizer"): _scalars,
    (Manifest, "cuts"): _each(_text),
    (Manifest, "state"): _each(_text),
    (Manifest, "layers"): _each(_a(Layer)),
    (Manifest, "signatures"): _by_name(_a(Signature)),
    (Manifest, "compression"): _scalars,
    (Manifest, "costs"): _a(Costs),
    (Manifest, "files"): _by_name(_a(FileEntry)),
    (Manifest, "part_of"): _a(PartOf),
    (PartOf, "bundle"): _text,
    (PartOf, "parts"): _by_name(_each(_or_null(_each(_run)))),
}
