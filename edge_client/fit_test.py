from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_client.fit import batches


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 4), st.integers(0, 2**32))
def test_every_epoch_takes_every_sample_once(count: int, batch_size: int, epochs: int, seed: int) -> None:
    rows = list(batches(count, batch_size, epochs, seed))
    per_epoch = -(-count // batch_size)
    assert len(rows) == epochs * per_epoch
    for epoch in range(epochs):
        taken = np.concatenate(rows[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert sorted(taken) == list(range(count))
    assert all(len(batch) <= batch_size for batch in rows)


def test_order_is_the_same_on_every_platform() -> None:
    (order,) = batches(8, 8, 1, seed=3)
    assert order.tolist() == [6, 7, 2, 1, 4, 5, 3, 0]


def test_epochs_and_seeds_differ() -> None:
    first, second = batches(50, 50, 2, seed=1)
    (other,) = batches(50, 50, 1, seed=2)
    assert first.tolist() != second.tolist() != other.tolist() != first.tolist()
