"""Split a labelled data set over clients: every sample to exactly one, reproducibly.

``by_label`` follows Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification" (2019), section 3, as most works have it: for each class, shares drawn from a Dirichlet distribution
with concentration α; small α gives each client few classes, large α approaches IID.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from python_server.errors import PartitionError

__all__ = ["by_domain", "by_label", "iid"]

_TRIES = 100


def iid(samples: int, clients: int, *, seed: int, allow_empty: bool = False) -> list[np.ndarray]:
    """Deal samples out at random, as evenly as possible.

    Parameters
    ----------
    samples
        How many there are.
    clients
        How many parts to make.
    seed
        The same seed gives the same parts.
    allow_empty
        Let clients go without samples when there are too few.

    Returns
    -------
    list of ndarray
        For each client the sorted indices of its samples, ``int64 [n_k]``.

    Raises
    ------
    PartitionError
        A client would go without samples, or a number makes no sense.
    """
    _check_counts(samples, clients, allow_empty)
    order = np.random.default_rng(seed).permutation(samples)
    return [np.sort(part) for part in np.array_split(order, clients)]


def by_label(
    labels: np.ndarray, clients: int, *, alpha: float, seed: int, allow_empty: bool = False
) -> list[np.ndarray]:
    """Give each client its own mixture of classes, drawn from a Dirichlet distribution.

    Where a draw leaves a client without samples, the whole draw is repeated; after a hundred such draws, samples are
    moved from the largest parts.

    Parameters
    ----------
    labels
        Class of each sample, integers ``[n]``.
    clients
        How many parts to make.
    alpha
        Concentration α, positive.
    seed, allow_empty
        As for `iid`.

    Returns
    -------
    list of ndarray
        For each client the sorted indices of its samples, ``int64 [n_k]``.

    Raises
    ------
    PartitionError
        A client would go without samples, or a number makes no sense.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise PartitionError(f"labels have shape {list(labels.shape)}; they have to be one per sample")
    if not (np.isfinite(alpha) and alpha > 0):
        raise PartitionError(f"alpha is {alpha}; it has to be a positive number")
    _check_counts(len(labels), clients, allow_empty)
    random = np.random.default_rng(seed)
    parts = _draw(labels, clients, alpha, random)
    for _ in range(_TRIES):
        if allow_empty or all(len(part) for part in parts):
            return parts
        parts = _draw(labels, clients, alpha, random)
    return _fill_empty(parts)


def by_domain(
    domains: Sequence[str] | np.ndarray, clients: int, *, seed: int, allow_empty: bool = False
) -> list[np.ndarray]:
    """Let no client mix domains: as many clients to a domain as its share of the samples warrants, at least one.

    Parameters
    ----------
    domains
        Domain of each sample, such as the camera or the site it is from.
    clients
        How many parts to make; at least as many as there are domains.
    seed, allow_empty
        As for `iid`.

    Returns
    -------
    list of ndarray
        For each client the sorted indices of its samples, ``int64 [n_k]``; clients of one domain stand together,
        domains in alphabetical order.

    Raises
    ------
    PartitionError
        There are fewer clients than domains, or a client would go without samples.
    """
    domains = np.asarray(domains)
    _check_counts(len(domains), clients, allow_empty)
    names, sizes = np.unique(domains, return_counts=True)
    if clients < len(names):
        raise PartitionError(f"{clients} clients for {len(names)} domains; take at least one client per domain")
    shares = np.ones(len(names), dtype=int)
    while shares.sum() < clients:  # each next client to the domain whose clients hold most
        shares[np.argmax(sizes / shares)] += 1
    random = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    for name, share in zip(names, shares):
        order = random.permutation(np.flatnonzero(domains == name))
        parts += [np.sort(part) for part in np.array_split(order, share)]
    return parts


def _draw(labels: np.ndarray, clients: int, alpha: float, random: np.random.Generator) -> list[np.ndarray]:
    parts: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        order = random.permutation(np.flatnonzero(labels == label))
        shares = random.dirichlet(np.full(clients, alpha))
        if not np.isfinite(shares).all():  # a tiny alpha underflows: all to one client is its limit
            shares = np.eye(clients)[random.integers(clients)]
        ends = np.rint(np.cumsum(shares)[:-1] * len(order)).astype(int)
        for part, indices in zip(parts, np.split(order, ends)):
            part.append(indices)
    return [np.sort(np.concatenate(part)) for part in parts]


def _fill_empty(parts: list[np.ndarray]) -> list[np.ndarray]:
    parts = list(parts)
    for index, part in enumerate(parts):
        if not len(part):
            largest = max(range(len(parts)), key=lambda other: len(parts[other]))
            parts[index], parts[largest] = parts[largest][:1], parts[largest][1:]
    return parts


def _check_counts(samples: int, clients: int, allow_empty: bool) -> None:
    if clients < 1:
        raise PartitionError(f"{clients} clients; there has to be at least one")
    if samples < clients and not allow_empty:
        raise PartitionError(f"{samples} samples for {clients} clients: some would go without")
