"""How a model is compressed while it is trained, as plain values. Needs no TensorFlow.

The techniques are those of Zhang, "Towards a Federated Learning Framework for Heterogeneous Devices of Internet of
Things" (2021), section 2: pruning, quantization, clustering. A device trains the compressed model itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Optional, Union

from model_export.errors import ExportError
from model_export.formats import FORMATS, INTEGERS

__all__ = ["NO_COMPRESSION", "Cluster", "Compression", "Prune", "PruneChannels", "Quantize"]


@dataclass(frozen=True)
class Prune:
    """Set the smallest weights to zero and keep them there (Han et al. 2015, "Learning both Weights and Connections").

    Kernels alone are pruned; biases and batch norms are few and matter.

    Attributes
    ----------
    sparsity
        Share of the kernels' weights that becomes zero.
    scope
        "layer": that share of each kernel. "global": of all kernels together, so that layers of large weights keep
        more.

    Raises
    ------
    ExportError
        A value is out of its range.
    """

    sparsity: float
    scope: str = "layer"

    def __post_init__(self) -> None:
        if not 0.0 < self.sparsity < 1.0:
            raise ExportError(f"prune is {self.sparsity}; the share has to lie between 0 and 1")
        if self.scope not in ("layer", "global"):
            raise ExportError(f"prune's scope is {self.scope!r}; it is 'layer' or 'global'")


@dataclass(frozen=True)
class PruneChannels:
    """Take output channels away, those of the smallest L1 norm (Li et al. 2017, "Pruning Filters").

    Attributes
    ----------
    share
        Share of the channels of each group that is removed; a group is what has to be removed together, see
        `model_export.compression.channels`.

    Raises
    ------
    ExportError
        The share is out of its range.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ExportError(f"prune-channels is {self.share}; the share has to lie between 0 and 1")


@dataclass(frozen=True)
class Quantize:
    """Round to narrow number formats in every training step; `model_export.formats` says what each can hold.

    Attributes
    ----------
    weights
        Format of the variables. Those of a floating-point format are all rounded, moving statistics included; of an
        integer format the kernels alone, as their scale is that of the largest weight.
    activations
        Format of each layer's output, and of the network's input. Integers have one scale for each sample, and the
        logits are left alone.
    gradients
        Format of the gradients with respect to layers' outputs and variables, and of the momentum.
    per_channel
        Whether an integer kernel has a scale for each output channel instead of one.
    stochastic
        Whether a step's new weights are rounded up or down at random, so that their mean is right: otherwise updates
        smaller than half a step of the format vanish. Training then takes a ``seed``.

    Raises
    ------
    ExportError
        There is no such format, or the runtime cannot compute in it.
    """

    weights: str = "float32"
    activations: str = "float32"
    gradients: str = "float32"
    per_channel: bool = True
    stochastic: bool = False

    def __post_init__(self) -> None:
        for what in (self.weights, self.activations, self.gradients):
            if what == "float64":
                raise ExportError("float64 is beyond TensorFlow Lite; edge_client.mlp trains MLPs in it")
            if what not in FORMATS:
                raise ExportError(f"no number format is called {what!r}; there are {', '.join(FORMATS)}")
        if self.stochastic and self.weights == "float32":
            raise ExportError("stochastic rounding needs a format narrower than float32 for the weights")


@dataclass(frozen=True)
class Cluster:
    """Let the weights of each kernel share a few values (Han et al. 2016, "Deep Compression").

    A kernel is a codebook, found by k-means, and an index for each weight; training changes the codebook.

    Attributes
    ----------
    clusters
        Values of each codebook; kernels of no more weights than that are left alone.
    gradient
        What a codebook entry's gradient is made of the gradients of its weights: their "sum", as the chain rule and
        the paper have it, or their "mean", with which a step is the projection of the step that the kernel would take
        alone, so that a learning rate that suits the kernel suits the codebook.

    Raises
    ------
    ExportError
        A value is out of its range.
    """

    clusters: int
    gradient: str = "mean"

    def __post_init__(self) -> None:
        if type(self.clusters) is not int or not 2 <= self.clusters <= 255:
            raise ExportError(f"clusters is {self.clusters}; it has to be a whole number from 2 to 255")
        if self.gradient not in ("mean", "sum"):
            raise ExportError(f"the clusters' gradient is {self.gradient!r}; it is 'mean' or 'sum'")


@dataclass(frozen=True)
class Compression:
    """Techniques that are combined; None leaves one out.

    Raises
    ------
    ExportError
        Two of them exclude each other.
    """

    prune: Optional[Prune] = None
    quantize: Optional[Quantize] = None
    cluster: Optional[Cluster] = None
    channels: Optional[PruneChannels] = None

    def __post_init__(self) -> None:
        if self.cluster and self.quantize and self.quantize.weights in INTEGERS:
            raise ExportError(
                f"clusters and {self.quantize.weights} weights exclude each other: a codebook is no grid; "
                "choose a floating-point format"
            )

    def to_manifest(self) -> dict[str, Union[str, float, int, bool]]:
        """Return what the manifest says: plain values, named as in ``docs/bundle.md``."""
        plain: dict[str, Union[str, float, int, bool]] = {}
        if self.channels:
            plain["prune_channels"] = self.channels.share
        if self.prune:
            plain.update(prune=self.prune.sparsity, prune_scope=self.prune.scope)
        if self.quantize:
            plain.update(asdict(self.quantize))
        if self.cluster:
            plain.update(clusters=self.cluster.clusters, cluster_gradient=self.cluster.gradient)
        return plain


NO_COMPRESSION = Compression()
"""A model as it is."""
