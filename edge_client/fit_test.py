from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.data import Dataset
from edge_client.errors import DivergedError
from edge_client.fit import batches, fit
from edge_client.trainer import Trainer

if TYPE_CHECKING:
    from conftest import Digits


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


def test_a_loss_that_is_no_number_ends_training_in_words(digits_bundle: Path, digits: Digits) -> None:
    dataset = Dataset(digits.x[:64], digits.y[:64], "digits")
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at step \d+ of 12, with learning rate 1e\+30"):
        fit(Trainer(digits_bundle, num_threads=1), dataset, 3, learning_rate=1e30)
