"""Experiment files: what to train, on what, with whom and how, in TOML (``docs/experiment.md``)."""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import tomllib

from python_server.errors import ExperimentError, PartitionError
from python_server.groups import GroupSettings
from python_server.simulation.settings import SimulationSettings
from python_server.strategies import OPTIONS, STRATEGIES, TrainSettings
from python_server.strategies.base import Strategy
from python_server.toml_tables import read_table, setting

__all__ = [
    "ClientSettings",
    "DataSettings",
    "EvaluateSettings",
    "Experiment",
    "ModelSettings",
    "ServerSettings",
    "VariantSettings",
    "load_experiment",
    "parse_experiment",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _name(raw: object, key: str) -> str:
    if not isinstance(raw, str) or not _NAME.fullmatch(raw):
        raise ExperimentError(f"{key} is {raw!r}; use letters, digits, '.', '_' and '-', at most 64")
    return raw


@dataclass(frozen=True)
class ModelSettings:
    """``[model]``: what is trained.

    Attributes
    ----------
    bundle
        The bundle, a directory or a zip; sent to devices that have no copy.
    trusted_key
        PEM file of the public key that must have signed the bundle.
    """

    bundle: Path = setting()
    trusted_key: Optional[Path] = setting(None)


@dataclass(frozen=True)
class VariantSettings:
    """``[[variants]]``: a bundle for devices that cannot train all of the model.

    Attributes
    ----------
    name
        What groups, run store and report call it.
    bundle
        A slice of ``model.bundle``, or the same network compressed; signed by the same key, where one is trusted.
    """

    name: str = setting(read=_name)
    bundle: Path = setting()


@dataclass(frozen=True)
class DataSettings:
    """``[data]``: held-out data on the server, a ``.npz`` with ``x`` (``uint8 [n, H, W, C]``) and ``y``, or images."""

    test: Optional[Path] = setting(None)


@dataclass(frozen=True)
class EvaluateSettings:
    """``[evaluate]``: where the global model is evaluated, and how often.

    Attributes
    ----------
    server
        On ``data.test``, where it is given.
    clients
        On each client's own test data.
    every
        After every so many rounds, and after the last.
    """

    server: bool = setting(True)
    clients: bool = setting(False)
    every: int = setting(1, least=1)


@dataclass(frozen=True)
class ServerSettings:
    """``[server]``: where devices reach the server, whom it trusts, how long it waits.

    Attributes
    ----------
    host, port
        Address to listen on; port 0 takes a free one.
    tls
        Encrypt, with the certificates of ``identity``.
    names
        Further names and addresses under which devices reach this host (behind NAT, say).
    identity
        Directory of the server's certificates and the enrolled devices.
    enrolled_only
        Only devices that were enrolled may take part.
    insecure_network
        Without TLS, listen on other addresses than loopback nevertheless.
    start_clients
        Begin, or go on after a resume, when so many devices are there; as many as there are ``[[clients]]`` by default.
    min_clients
        Begin a later round only when so many are there.
    start_deadline_s
        How long to wait for them.
    round_deadline_s
        How long a device has for one round: download, training and upload.
    query_deadline_s
        How long a device has to answer what it is.
    """

    host: str = setting("127.0.0.1")
    port: int = setting(9092, least=0, most=65535)
    tls: bool = setting(True)
    names: tuple[str, ...] = setting(())
    identity: Path = setting(Path("identity"))
    enrolled_only: bool = setting(True)
    insecure_network: bool = setting(False)
    start_clients: int = setting(1, least=1)
    min_clients: int = setting(1, least=1)
    start_deadline_s: float = setting(120.0, above=0)
    round_deadline_s: float = setting(600.0, above=0)
    query_deadline_s: float = setting(10.0, above=0)


@dataclass(frozen=True)
class ClientSettings:
    """``[[clients]]``: a client process on this host that ``train`` starts and stops.

    Attributes
    ----------
    name, data, test_data, processor, profile, threads
        As for ``pocketfleet-client run``.
    variant
        The variant that it is started with; empty: the experiment's own bundle. It takes no other.
    nice
        Niceness of the process, 0 to 19: a slower device.
    cgroup
        Directory of a control group that the process joins: a slower device by a quota of CPU time, say.
    extra
        Further arguments for ``pocketfleet-client run``.
    command
        Another client program with the same arguments, such as ``["java", "-jar", "pocketfleet-client.jar"]``.
    """

    name: str = setting(read=_name)
    data: Path = setting()
    test_data: Optional[Path] = setting(None)
    processor: str = setting("cpu")
    profile: str = setting("")
    threads: int = setting(1, least=1, most=256)
    variant: str = setting("")
    nice: int = setting(0, least=0, most=19)
    cgroup: Optional[Path] = setting(None)
    extra: tuple[str, ...] = setting(())
    command: tuple[str, ...] = setting(())


@dataclass(frozen=True)
class _File:
    """The file's tables, before the strategy's options are read."""

    name: str = setting(read=_name)
    rounds: int = setting(least=1, most=1_000_000)
    model: ModelSettings = setting()
    seed: int = setting(0, least=0, most=2**31 - 1)
    keep_weights: str = setting("all", among=("all", "last"))
    data: DataSettings = field(default_factory=DataSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    strategy: Mapping[str, Any] = setting({}, read=lambda raw, key: raw)
    clients: tuple[ClientSettings, ...] = setting(())
    variants: tuple[VariantSettings, ...] = setting(())
    groups: tuple[GroupSettings, ...] = setting(())
    simulation: SimulationSettings = field(default_factory=SimulationSettings)


@dataclass(frozen=True)
class Experiment:
    """A checked experiment.

    Attributes
    ----------
    source
        The file's bytes, as they are kept with the run.
    base
        Directory that relative paths in the file start from.
    strategy_name, strategy
        What ``[strategy]`` says.
    file
        What messages call it; empty: nothing.
    """

    source: bytes = field(repr=False)
    base: Path
    name: str
    seed: int
    rounds: int
    keep_weights: str
    model: ModelSettings
    data: DataSettings
    evaluate: EvaluateSettings
    train: TrainSettings
    server: ServerSettings
    clients: tuple[ClientSettings, ...]
    variants: tuple[VariantSettings, ...]
    groups: tuple[GroupSettings, ...]
    strategy_name: str
    strategy: Strategy = field(repr=False)
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    file: str = ""

    @contextlib.contextmanager
    def naming(self) -> Iterator[None]:
        """Name the experiment's file in errors about what it asks for."""
        try:
            yield
        except (ExperimentError, PartitionError) as error:
            raise type(error)(f"{self.file}: {error}" if self.file else str(error)) from None

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.source).hexdigest()

    def bundle_of(self, client: ClientSettings) -> Path:
        """Return the bundle that a local client is started with."""
        return {"": self.model.bundle, **{each.name: each.bundle for each in self.variants}}[client.variant]

    def check_files(self) -> None:
        """Raise `ExperimentError` if a file that the experiment names is not there."""
        paths: list[tuple[str, Optional[Path]]] = [
            ("model.bundle", self.model.bundle),
            ("model.trusted_key", self.model.trusted_key),
            ("data.test", self.data.test),
            *((f"bundle of variant {variant.name!r}", variant.bundle) for variant in self.variants),
            ("simulation.data", self.simulation.data),
        ]
        for client in self.clients:
            paths += [(f"data of client {client.name!r}", client.data)]
            paths += [(f"test_data of client {client.name!r}", client.test_data)]
            paths += [(f"cgroup of client {client.name!r}", client.cgroup)]
        with self.naming():
            for key, path in paths:
                if path is not None and not path.exists():
                    raise ExperimentError(f"{key}: there is no {path}")


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment file.

    Raises
    ------
    ExperimentError
        The file is not there, is not TOML, or says something that makes no sense; the message names the file.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ExperimentError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    return parse_experiment(source, path.resolve().parent, str(path))


def parse_experiment(source: bytes, base: Path, name: str) -> Experiment:
    """Check an experiment's text.

    Parameters
    ----------
    source
        The TOML text, UTF-8.
    base
        Directory that relative paths start from.
    name
        What messages call the file.

    Raises
    ------
    ExperimentError
        It is not TOML, or says something that makes no sense.
    """
    try:
        raw = tomllib.loads(source.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ExperimentError(f"{name}: not TOML: {error}") from None
    try:
        return replace(_build(raw, source, base), file=name)
    except ExperimentError as error:
        raise ExperimentError(f"{name}: {error}") from None


def _build(raw: dict[str, Any], source: bytes, base: Path) -> Experiment:
    file = read_table(_File, raw, "", base)
    strategy_name, strategy = _strategy(file, base)
    named = {
        "clients": [each.name for each in file.clients],
        "variants": [each.name for each in file.variants],
        "simulation.profiles": [each.name for each in file.simulation.profiles],
    }
    for key, names in named.items():
        for each in names:
            if names.count(each) > 1:
                raise ExperimentError(f"two [[{key}]] have the name {each!r}")
    file.simulation.check()
    for client in file.clients:
        if client.variant and client.variant not in (variant.name for variant in file.variants):
            raise ExperimentError(f"client {client.name!r}: there is no variant {client.variant!r} among [[variants]]")
    server = file.server
    if "identity" not in raw.get("server", {}):
        server = replace(server, identity=(base / "identity").resolve())
    if file.clients and "start_clients" not in raw.get("server", {}):
        server = replace(server, start_clients=len(file.clients))
    return Experiment(
        source=source,
        base=base,
        name=file.name,
        seed=file.seed,
        rounds=file.rounds,
        keep_weights=file.keep_weights,
        model=file.model,
        data=file.data,
        evaluate=file.evaluate,
        train=file.train,
        server=server,
        clients=file.clients,
        variants=file.variants,
        groups=file.groups,
        strategy_name=strategy_name,
        strategy=strategy,
        simulation=file.simulation,
    )


def _strategy(file: _File, base: Path) -> tuple[str, Strategy]:
    @dataclass(frozen=True)
    class Name:
        name: str = setting("fedavg", among=tuple(STRATEGIES))

    if not isinstance(file.strategy, Mapping):
        raise ExperimentError("strategy has to be a table, as in [strategy]")
    name = read_table(
        Name, {key: value for key, value in file.strategy.items() if key == "name"}, "strategy", base
    ).name
    rest = {key: value for key, value in file.strategy.items() if key != "name"}
    options: Any = read_table(OPTIONS[name], rest, "strategy", base)
    return name, STRATEGIES[name](options, file.train)
