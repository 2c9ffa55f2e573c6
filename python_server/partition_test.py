from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_server.errors import PartitionError
from python_server.partition import by_domain, by_label, by_user, iid, shards

seeds = st.integers(0, 2**32 - 1)


def is_partition(parts: list[np.ndarray], samples: int, clients: int) -> bool:
    joined = np.concatenate(parts)
    return len(parts) == clients and sorted(joined.tolist()) == list(range(samples))


@given(st.integers(1, 200), st.integers(1, 20), seeds)
def test_iid(samples: int, clients: int, seed: int) -> None:
    if samples < clients:
        with pytest.raises(PartitionError, match="go without"):
            iid(samples, clients, seed=seed)
    parts = iid(samples, clients, seed=seed, allow_empty=True)
    assert is_partition(parts, samples, clients)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@given(
    st.lists(st.integers(0, 4), min_size=8, max_size=200),
    st.integers(1, 8),
    st.floats(1e-3, 1e3),
    seeds,
)
def test_by_label(labels: list[int], clients: int, alpha: float, seed: int) -> None:
    parts = by_label(np.array(labels), clients, alpha=alpha, seed=seed)
    assert is_partition(parts, len(labels), clients)
    assert all(len(part) for part in parts)
    again = by_label(np.array(labels), clients, alpha=alpha, seed=seed)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again))


@given(st.lists(st.sampled_from("abc"), min_size=12, max_size=100), st.integers(3, 12), seeds)
def test_by_domain(domains: list[str], clients: int, seed: int) -> None:
    parts = by_domain(domains, clients, seed=seed, allow_empty=True)
    assert is_partition(parts, len(domains), clients)
    assert all(len({domains[index] for index in part}) <= 1 for part in parts)


def test_alpha_sets_how_mixed_the_clients_are() -> None:
    labels = np.repeat(np.arange(10), 200)

    def largest_share(alpha: float) -> float:
        parts = by_label(labels, 10, alpha=alpha, seed=1)
        return float(np.mean([np.bincount(labels[part]).max() / len(part) for part in parts]))

    assert largest_share(0.1) > 0.4
    assert largest_share(1000) < 0.15


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(PartitionError, match="alpha"):
        by_label(np.zeros(10, int), 2, alpha=alpha, seed=0)


def test_too_few_clients_for_the_domains() -> None:
    with pytest.raises(PartitionError, match="2 clients for 3 domains"):
        by_domain(["a", "b", "c"], 2, seed=0)


def test_labels_have_to_be_a_list() -> None:
    with pytest.raises(PartitionError, match="one per sample"):
        by_label(np.zeros((3, 2)), 2, alpha=1, seed=0)


def test_shards_give_each_client_few_classes_and_every_sample_once() -> None:
    labels = np.repeat(np.arange(10), 30)
    parts = shards(labels, 15, classes=2, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    assert {len(part) for part in parts} == {20}
    assert all(len(set(labels[part].tolist())) <= 2 for part in parts)
    again, other = (shards(labels, 15, classes=2, seed=seed) for seed in (3, 4))
    assert all(np.array_equal(one, two) for one, two in zip(parts, again))
    assert not all(np.array_equal(one, two) for one, two in zip(parts, other))
    with pytest.raises(PartitionError, match="300 samples for 200 clients of 2 shards"):
        shards(labels, 200, classes=2, seed=3)


def test_users_stay_whole() -> None:
    users = np.array(list("aabbbbccdeee"))
    each = by_user(users, 5, seed=0)
    assert [set(users[part]) for part in each] == [{"a"}, {"b"}, {"c"}, {"d"}, {"e"}]
    dealt = by_user(users, 3, seed=0)
    assert sorted(np.concatenate(dealt).tolist()) == list(range(12))
    assert sorted(len(part) for part in dealt) == [4, 4, 4], "as even as whole users allow"
    assert not any(set(users[one]) & set(users[two]) for one in dealt for two in dealt if one is not two)
    with pytest.raises(PartitionError, match="6 clients for 5 users"):
        by_user(users, 6, seed=0)
