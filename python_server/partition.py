"""Split a labelled data set over clients: every sample to exactly one, reproducibly.

``by_label`` follows Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification" (2019), section 3, as most works have it: for each class, shares drawn from a Dirichlet distribution
with concentration α; small α gives each client few classes, large α approaches IID.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from python_server.errors import PartitionError

__all__ = ["by_domain", "by_label", "by_user", "iid", "shards"]

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


def shards(labels: np.ndarray, clients: int, *, classes: int, seed: int) -> list[np.ndarray]:
    """Give each client a few classes: McMahan et al. 2017, section 3.

    The samples, sorted by label and shuffled within one, are cut into ``clients · classes`` shards of equal size, and
    each client draws ``classes`` of them; a shard that lies across a border holds two labels.

    Parameters
    ----------
    labels
        Class of each sample, integers ``[n]``.
    clients
        How many parts to make.
    classes
        Shards for each client.
    seed
        The same seed gives the same parts.

    Returns
    -------
    list of ndarray
        For each client the sorted indices of its samples, ``int64 [n_k]``.

    Raises
    ------
    PartitionError
        There are fewer samples than shards, or a number makes no sense.
    """
    labels = np.asarray(labels)
    if classes < 1:
        raise PartitionError(f"{classes} classes for each client; there has to be at least one")
    _check_counts(len(labels), clients, allow_empty=False)
    if len(labels) < clients * classes:
        raise PartitionError(f"{len(labels)} samples for {clients} clients of {classes} shards: some would be empty")
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    cut = np.array_split(order[np.argsort(labels[order], kind="stable")], clients * classes)
    drawn = random.permutation(clients * classes).reshape(clients, classes)
    return [np.sort(np.concatenate([cut[index] for index in own])) for own in drawn]


def by_user(users: Sequence[str] | np.ndarray, clients: int, *, seed: int) -> list[np.ndarray]:
    """Let no two clients share a user: a client each, or, where there are more users, users dealt out evenly.

    Parameters
    ----------
    users
        Who each sample is from.
    clients
        How many parts to make; at most as many as there are users.
    seed
        Decides who goes with whom.

    Returns
    -------
    list of ndarray
        For each client the sorted indices of its samples, ``int64 [n_k]``; with a client for each user they stand in
        the users' alphabetical order.

    Raises
    ------
    PartitionError
        There are more clients than users, or a number makes no sense.
    """
    users = np.asarray(users)
    _check_counts(len(users), clients, allow_empty=False)
    _, index = np.unique(users, return_inverse=True)
    sizes = np.bincount(index)
    if clients > len(sizes):
        raise PartitionError(f"{clients} clients for {len(sizes)} users; take at most one client per user")
    owner = np.arange(len(sizes))
    if clients < len(sizes):
        held = np.zeros(clients, int)
        shuffled = np.random.default_rng(seed).permutation(len(sizes))
        for user in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:  # the largest first, to who holds least
            owner[user] = np.argmin(held)
            held[owner[user]] += sizes[user]
    return [np.flatnonzero(owner[index] == client) for client in range(clients)]


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
