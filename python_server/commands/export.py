"""``pocketfleet export``: a Keras model to a bundle."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    import numpy as np

    from model_export.options import Optimizer
    from model_export.part import PartOf

__all__ = ["Export", "input_shape", "load_or_build", "read_arrays"]


class Export:
    """Make a bundle."""

    name = "export"
    help = "turn a Keras model into a bundle that devices can train"
    description = (
        "Turn an architecture of the zoo, or a .keras file, into a bundle: a trainable TensorFlow Lite model of "
        "builtin ops only, and a manifest that says what it is."
    )
    examples = """\
examples:
  pocketfleet export small_cnn --input 32x32x3 --classes 10 --batch 16 -o cnn.bundle
  pocketfleet export model.keras --train head --batch 32 --momentum 0.9 -o head.bundle
  pocketfleet export mobilenet_v2 --input 96x96x3 --classes 31 --train block_13_expand --option alpha=0.35 -o b
  pocketfleet export small_cnn --input 32x32x3 --classes 10 --prune 0.5 --format int8 --stochastic -o narrow.bundle
  pocketfleet export small_cnn --input 32x32x3 --classes 10 --batch 16 --width 0.5 --part-of cnn.bundle -o half.bundle
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("model", metavar="ARCH_OR_KERAS_FILE", help="name of an architecture, or a .keras file")
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="bundle to write")
        parser.add_argument("--input", type=input_shape, metavar="HxWxC", help="input of an architecture")
        parser.add_argument("--classes", type=int, metavar="N", help="classes of an architecture")
        parser.add_argument("--class-names", metavar="A,B,...", help="names of the classes (default: their numbers)")
        parser.add_argument("--train", default="all", metavar="all|head|LAYER", help="what trains (default: all)")
        parser.add_argument("--cuts", default="", metavar="LAYER,...", help="layers from which on training may begin")
        parser.add_argument(
            "--base-format", default="float32", metavar="FORMAT", help="of a frozen base: float32, float16 or int8"
        )
        parser.add_argument(
            "--calibration", type=Path, metavar="FILE.npz", help="typical samples, as x, for --base-format int8"
        )
        parser.add_argument("--batch", type=int, default=16, metavar="N", help="batch size (default: 16)")
        parser.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd", help="default: %(default)s")
        parser.add_argument("--momentum", type=float, metavar="X", help="of SGD (default: 0)")
        parser.add_argument("--nesterov", action="store_true", help="Nesterov momentum, of SGD")
        parser.add_argument("--beta-1", type=float, metavar="X", help="of Adam's mean (default: 0.9)")
        parser.add_argument("--beta-2", type=float, metavar="X", help="of Adam's mean square (default: 0.999)")
        parser.add_argument("--epsilon", type=float, metavar="X", help="of Adam (default: 1e-7)")
        parser.add_argument("--amsgrad", action="store_true", help="AMSGrad, of Adam")
        parser.add_argument("--weight-decay", type=float, default=0.0, metavar="X", help="decoupled (default: 0)")
        parser.add_argument("--clip-norm", type=float, default=0.0, metavar="X", help="of all gradients (default: off)")
        parser.add_argument("--proximal", action="store_true", help="with FedProx's proximal term")
        parser.add_argument(
            "--convolution",
            default="auto",
            metavar="FORM",
            help="how trained convolutions are computed: auto, pairs, shifts or taps; the results are the same, "
            "the times depend on the processor (default: auto)",
        )
        parser.add_argument("--prune", type=float, metavar="SHARE", help="keep this share of each kernel at zero")
        parser.add_argument("--prune-channels", type=float, metavar="SHARE", help="remove this share of the channels")
        parser.add_argument(
            "--format", metavar="F", help="hold weights as float24, bfloat16, float16, int8 or int4 while training"
        )
        parser.add_argument("--activation-format", metavar="F", help="round layers' outputs to this format")
        parser.add_argument("--gradient-format", metavar="F", help="round gradients to this format")
        parser.add_argument("--stochastic", action="store_true", help="round new weights up or down at random")
        parser.add_argument("--clusters", type=int, metavar="N", help="let each kernel's weights share N values")
        narrow = parser.add_mutually_exclusive_group()
        narrow.add_argument(
            "--width", type=float, metavar="SHARE", help="keep the leading channels of every layer, as HeteroFL does"
        )
        narrow.add_argument(
            "--channels", type=Path, metavar="FILE.json", help="keep the channels that `pocketfleet search` found"
        )
        parser.add_argument(
            "--part-of",
            type=Path,
            metavar="BUNDLE",
            help="take the weights from this bundle of the whole network, and note where they belong in it",
        )
        parser.add_argument("--scale", type=float, metavar="X", help="devices feed pixel * scale + offset")
        parser.add_argument("--offset", type=float, metavar="X", help="see --scale")
        parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the architecture")
        parser.add_argument("--name", help="name of the bundle (default: the model's)")
        signing = parser.add_mutually_exclusive_group()
        signing.add_argument(
            "--sign",
            type=Path,
            default=_own_key(),
            metavar="KEY.pem",
            help="private key (P-256) to sign it with, made if it is not there (default: %(default)s)",
        )
        signing.add_argument("--no-sign", action="store_true", help="leave it unsigned")
        parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
        parser.add_argument(
            "--no-measure", action="store_true", help="skip measuring memory and time of training steps"
        )
        parser.add_argument("--json", action="store_true", help="describe the bundle as JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Export, and describe what was made."""
        import model_export
        from model_export.errors import ExportError
        from model_export.signing import load_or_create_key, publish

        if options.part_of is not None and options.width is None and options.channels is None:
            raise ExportError("--part-of is for a slice: give --width or --channels too")
        model, scale, offset = load_or_build(options)
        model, part_of = _slice(model, options)
        signing_key = None if options.no_sign else load_or_create_key(options.sign)
        bundle = model_export.export(
            model,
            options.output,
            batch_size=options.batch,
            trainable=options.train,
            cuts=tuple(filter(None, options.cuts.split(","))),
            optimizer=_optimizer(options),
            compression=_compression(options),
            convolution=options.convolution,
            base_format=options.base_format,
            calibration=options.calibration and read_arrays(options.calibration, "--calibration", "x")[0],
            name=options.name,
            classes=options.class_names.split(",") if options.class_names else None,
            input_scale=scale if options.scale is None else options.scale,
            input_offset=offset if options.offset is None else options.offset,
            signing_key=signing_key,
            part_of=part_of,
            overwrite=options.overwrite,
            measure=not options.no_measure,
            progress=lambda stage: print(f"{stage} ...", file=sys.stderr, flush=True),
        )
        if options.json:
            print(json.dumps(model_export.describe(bundle), indent=2))
        else:
            print(f"bundle: {bundle.path}")
            if signing_key is not None:
                print(f"signed: devices that are to trust you alone need --trust {publish(options.sign)}")
        return 0


def load_or_build(options: argparse.Namespace) -> tuple[Any, float, float]:
    """Return the model that the command line names, and its input's scale and offset.

    Parameters
    ----------
    options
        ``model``, ``input``, ``classes`` and ``option``.

    Raises
    ------
    ExportError
        There is no such model, or it cannot be built so.
    """
    import model_export
    from model_export.errors import ExportError

    architecture = model_export.ARCHITECTURES.get(options.model)
    # A folder that is called like an architecture is most likely a bundle of it.
    if architecture is None and (options.model.endswith(".keras") or Path(options.model).exists()):
        if options.input or options.classes or options.option:
            raise ExportError("--input, --classes and --option are for architectures; a .keras file has its own")
        return model_export.load_keras_model(options.model), 1.0, 0.0
    if architecture is not None and not (options.input and options.classes):
        raise ExportError("an architecture needs --input and --classes, as in --input 32x32x3 --classes 10")
    shape = options.input or (1, 1, 1)
    model = model_export.build(options.model, shape, options.classes or 1, **_options(options.option))
    assert architecture is not None
    return model, architecture.input_scale, architecture.input_offset


def _slice(model: Any, options: argparse.Namespace) -> tuple[Any, Optional[PartOf]]:
    """Return the model as narrow as the options ask for, and what it is part of."""
    if options.width is None and options.channels is None:
        return model, None
    from model_export.architecture_search import read_channels
    from model_export.bundle import Bundle
    from model_export.width import slice_channels, slice_width, take_weights

    whole = None if options.part_of is None else Bundle.load(options.part_of)
    if whole is not None:
        take_weights(model, whole)
    narrow = (
        slice_channels(model, read_channels(options.channels))
        if options.width is None
        else slice_width(model, options.width)
    )
    return narrow.model, None if whole is None else narrow.part_of(whole.sha256)


def _compression(options: argparse.Namespace) -> Any:
    from model_export.compression import Cluster, Compression, Prune, PruneChannels, Quantize

    formats = {
        "weights": options.format,
        "activations": options.activation_format,
        "gradients": options.gradient_format,
        "stochastic": options.stochastic,
    }
    chosen = {key: value for key, value in formats.items() if value}
    return Compression(
        prune=None if options.prune is None else Prune(options.prune),
        channels=None if options.prune_channels is None else PruneChannels(options.prune_channels),
        quantize=Quantize(**chosen) if chosen else None,
        cluster=None if options.clusters is None else Cluster(options.clusters),
    )


def _own_key() -> Path:
    """Return where a user's own signing key is, or will be."""
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return configuration / "pocketfleet" / "signing_key.pem"


def _optimizer(options: argparse.Namespace) -> Optimizer:
    """Return the optimizer that the options ask for; an option of the other one is refused."""
    from model_export import options as choices
    from model_export.errors import ExportError

    own = {"sgd": ("momentum", "nesterov"), "adam": ("beta_1", "beta_2", "epsilon", "amsgrad")}
    for optimizer, names in own.items():
        for name in names:
            if optimizer != options.optimizer and getattr(options, name) not in (None, False):
                raise ExportError(f"--{name.replace('_', '-')} is for --optimizer {optimizer}")
    given = {name: value for name in own[options.optimizer] if (value := getattr(options, name)) is not None}
    shared = {name: getattr(options, name) for name in ("weight_decay", "proximal", "clip_norm")}
    return choices.Adam(**given, **shared) if options.optimizer == "adam" else choices.Sgd(**given, **shared)


def read_arrays(path: Path, option: str, *names: str) -> tuple[np.ndarray, ...]:
    """Read arrays of numbers by name from the ``.npz`` file that ``option`` of the command line gave.

    Raises
    ------
    ExportError
        It is no such file, or holds no such arrays; the message names the option and the file.
    """
    import numpy as np

    from model_export.errors import ExportError

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = tuple(archive[name] for name in names)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        wanted = " and ".join(names)
        raise ExportError(f"{option} {path}: not an .npz file with arrays of numbers {wanted}: {error}") from None
    for name, array in zip(names, arrays):
        if array.dtype.kind not in "biuf":
            raise ExportError(f"{option} {path}: {name} holds {array.dtype}; it has to be numbers")
    return arrays


def input_shape(text: str) -> tuple[int, ...]:
    """Read ``HxWxC`` from the command line."""
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTHxCHANNELS, as in 32x32x3")
    return tuple(int(part) for part in text.split("x"))


def _options(pairs: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options
