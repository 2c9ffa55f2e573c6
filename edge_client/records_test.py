from __future__ import annotations

import numpy as np
import pytest

from edge_client.records import PACKED, decode_arrays, encode_arrays
from model_export.errors import TensorFileError

WEIGHTS = {"conv/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bn/moving_mean": np.zeros(0, np.float32)}


@pytest.mark.parametrize("packed", [True, False])
def test_arrays_come_back_in_the_form_they_went(packed: bool) -> None:
    record = encode_arrays(WEIGHTS, packed=packed)
    assert (set(record) == {PACKED}) is packed
    back, was_packed = decode_arrays(record)
    assert was_packed is packed
    assert list(back) == list(WEIGHTS)
    for name, value in WEIGHTS.items():
        np.testing.assert_array_equal(back[name], value)


def test_damaged_pack_is_refused() -> None:
    record = encode_arrays(WEIGHTS, packed=True)
    with pytest.raises(TensorFileError):
        decode_arrays({PACKED: record[PACKED][:-1]})
