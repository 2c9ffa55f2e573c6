"""Command line of the client: ``pocketfleet-client``."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional, Union

from device_profiles import ProfileError
from edge_client.arguments import number, whole
from edge_client.calibrate_command import add_calibrate_command, show_calibration
from edge_client.energy.command import add_energy_options, add_meter_command, show_meter
from edge_client.errors import EdgeError, SettingsError
from model_export.errors import BundleError

if TYPE_CHECKING:
    from edge_client.trainer import Trainer

__all__ = ["main"]

_EPILOG = """\
examples:
  # at home, over TLS with the certificate that the server made
  pocketfleet-client run --server 192.168.1.10:8000 --ca ca.pem \\
      --bundle cifar.bundle --data shard-3.npz --state ~/.pocketfleet

  # the server sends the bundle; it has to be signed by this key
  pocketfleet-client run --server 192.168.1.10:8000 --ca ca.pem \\
      --trust signer.pem --data shard-3.npz --state ~/.pocketfleet

  # on one machine, to try things out
  pocketfleet-client run --server 127.0.0.1:8000 --insecure \\
      --bundle cifar.bundle --data shard-3.npz --state /tmp/client-3

  # what this device's energy figures would come from
  pocketfleet-client meter

  # the key to enrol at a server that admits only known devices
  pocketfleet-client key --state ~/.pocketfleet > board-3.pem

  # how fast this device trains a bundle, and on how many watts
  pocketfleet-client calibrate cifar.bundle --json
"""


def main(arguments: Optional[Sequence[str]] = None, *, make_trainer: Optional[Callable[..., Trainer]] = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words after the program's name; None takes the process's own.
    make_trainer
        What trains, where that is not `edge_client.Trainer`; see `edge_client.worker.Worker`.

    Returns
    -------
    0 after leaving cleanly, 1 when something failed, 2 when it was used wrongly.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("urllib3").setLevel(logging.INFO)
    try:
        if options.command == "key":
            _print_key(options.state, options.format)
        elif options.command == "meter":
            show_meter(options)
        elif options.command == "calibrate":
            show_calibration(options, make_trainer)
        else:
            _run(options, make_trainer)
    except (SettingsError, ProfileError) as error:
        return _fail(error, 2)
    except (EdgeError, BundleError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 1
    return 0


def _print_key(state_directory: Path, form: str) -> None:
    from edge_client.state import StateDirectory
    from edge_client.transport.keys import ClientKey

    # A running client holds the directory; its key can be read all the same.
    key_file = state_directory / "key.pem"
    if key_file.exists():
        key = ClientKey.load_or_create(key_file)
    else:
        with StateDirectory(state_directory) as state:
            key = ClientKey.load_or_create(state.key_file)
    text = (key.public_pem if form == "pem" else key.public_ssh).decode("ascii")
    print(text.rstrip("\n"))


def _run(options: argparse.Namespace, make_trainer: Optional[Callable[..., Trainer]]) -> None:
    from edge_client.bundle_store import BundleStore
    from edge_client.client import ClientConfig, run_client
    from edge_client.conditions import cool_down
    from edge_client.energy import find_meter
    from edge_client.feature_cache import FeatureCache
    from edge_client.local_weights import LocalWeights
    from edge_client.memory import return_large_blocks
    from edge_client.trainer import Trainer
    from edge_client.worker import Worker

    return_large_blocks()
    config = ClientConfig(
        server=options.server,
        state=options.state,
        ca_file=options.ca,
        insecure=options.insecure,
        heartbeat_s=options.heartbeat,
        give_up_after_s=options.give_up_after or None,
        poll_longest_s=options.poll_longest,
        leave_within_s=options.leave_within,
    )
    trusted_key = _read(options.trust) if options.trust else None
    bundle: Union[Path, BundleStore]
    if options.bundle is not None:
        bundle = options.bundle
    elif trusted_key is not None:
        bundle = BundleStore(options.state / "bundles", trusted_key)
    else:
        raise SettingsError(
            "no bundle: give one with --bundle, or with --trust the public key that must have signed what the server "
            "sends"
        )
    with contextlib.closing(find_meter(options.profile, source=options.energy)) as meter:
        worker = Worker(
            bundle,
            options.data,
            test_data=options.test_data,
            name=options.name,
            processor=options.processor,
            profile=options.profile,
            meter=meter,
            num_threads=options.threads,
            cache_features=not options.no_feature_cache,
            feature_cache=(
                FeatureCache(options.state / "features", limit_bytes=options.feature_cache_mb << 20)
                if options.feature_cache_mb
                else None
            ),
            trusted_key=trusted_key,
            local_weights=LocalWeights(options.state / "weights"),
            make_trainer=make_trainer or Trainer,
        )
        if options.cool_down_c is not None:
            cool_down(options.cool_down_c)
        meter.measure_idle(options.idle_baseline)
        run_client(config, worker.handle, on_phase=worker.phases.enter)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pocketfleet-client",
        description="Train a bundle on this device's data for a Flower server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="take part until told to leave",
        description="Connect to a server, do what it asks, and go on until SIGTERM or Ctrl-C. A client that was "
        "killed takes up its work when it is started again with the same state directory.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    key = commands.add_parser(
        "key",
        help="print this device's public key",
        description="Print the public key that the server has to know, making the key if there is none.",
        epilog="examples:\n  pocketfleet-client key --state ~/.pocketfleet > board-3.pem\n"
        "  pocketfleet-client key --state ~/.pocketfleet --format ssh > board-3.pub",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    key.add_argument(
        "--format",
        choices=("pem", "ssh"),
        default="pem",
        help="pem, or what `flwr supernode register` wants of it (default: %(default)s)",
    )
    add_meter_command(commands)
    add_calibrate_command(commands)
    for command in (run, key):
        command.add_argument(
            "--state",
            type=Path,
            required=True,
            metavar="DIR",
            help="this client's own directory: its key, its unfinished work",
        )
        command.add_argument("-v", "--verbose", action="store_true", help="log details, too")

    run.add_argument("--server", required=True, metavar="HOST:PORT", help="address of the SuperLink")
    run.add_argument(
        "--bundle", type=Path, metavar="DIR", help="what to train, directory or zip (default: what the server sends)"
    )
    run.add_argument("--data", type=Path, required=True, metavar="FILE", help="training data: .npz or image folder")
    run.add_argument("--test-data", type=Path, metavar="FILE", help="own test data (default: the training data)")
    trust = run.add_mutually_exclusive_group()
    trust.add_argument("--ca", type=Path, metavar="FILE", help="PEM of the authority behind the server's certificate")
    trust.add_argument("--insecure", action="store_true", help="no TLS: whoever is on the way can read and alter all")
    run.add_argument("--trust", type=Path, metavar="KEY.pem", help="public key that must have signed the bundle")
    run.add_argument("--name", default="", metavar="NAME", help="name in reports (default: host and data file)")
    run.add_argument("--processor", default="cpu", metavar="CLASS", help="cpu, gpu, ...: whose cutoff applies here")
    add_energy_options(run)
    run.add_argument(
        "--idle-baseline",
        type=number(least=0),
        default=3.0,
        metavar="S",
        help="before asking for work, measure for so long what the idle device uses; 0: do not (default: %(default)g; "
        "a model needs none)",
    )
    run.add_argument(
        "--cool-down-c",
        type=number(above=0, most=150),
        metavar="C",
        help="before that, wait up to 15 min until the processor is no warmer, so that runs begin alike",
    )
    run.add_argument("--threads", type=whole(1), metavar="N", help="threads for training (default: the fastest)")
    run.add_argument(
        "--no-feature-cache",
        action="store_true",
        help="compute a frozen base anew in every step: slower, but needs no room for every sample's features",
    )
    run.add_argument(
        "--feature-cache-mb",
        type=whole(0),
        default=2048,
        metavar="MB",
        help="most that a frozen base's features take of the disk, in --state; 0: keep them in memory alone "
        "(default: %(default)d)",
    )
    run.add_argument(
        "--give-up-after",
        type=number(least=0),
        default=600.0,
        metavar="S",
        help="end when the server does not answer or admit this client for this long; 0: never (default: %(default)g)",
    )
    run.add_argument(
        "--heartbeat",
        type=number(least=0),
        default=60.0,
        metavar="S",
        help="the server counts this client as gone after twice as long without a sign (default: %(default)g)",
    )
    run.add_argument(
        "--poll-longest",
        type=number(least=0),
        default=5.0,
        metavar="S",
        help="longest wait between two questions for work (default: %(default)g)",
    )
    run.add_argument(
        "--leave-within",
        type=number(least=0),
        default=15.0,
        metavar="S",
        help="when leaving, wait this long for the server to take the last reply (default: %(default)g)",
    )
    return parser


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error


def _fail(error: BaseException, code: int) -> int:
    print(f"pocketfleet-client: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
