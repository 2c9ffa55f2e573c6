from __future__ import annotations

import pytest

from device_profiles.power_fit import PowerFitError, Sample, fit_power


def test_a_line_is_found_again() -> None:
    samples = [Sample(10, 10 * cores, 10 * (2 + 0.7 * cores)) for cores in (0, 1, 2, 4)]
    fit = fit_power(samples, "a sensor")
    assert (fit.power.idle_w, fit.power.busy_w_per_core) == pytest.approx((2, 0.7))
    assert (fit.idle_error_w, fit.busy_error_w, fit.rms_w) == pytest.approx((0, 0, 0), abs=1e-9)
    assert fit.power.source == "fitted to 4 samples of a sensor"


def test_errors_are_those_of_linear_regression() -> None:
    """By hand: x = 0, 1, 2; y = 1, 3, 4: slope 1.5, intercept 7/6, squares 1/6, so s² = 1/6."""
    fit = fit_power([Sample(1, 0, 1), Sample(1, 1, 3), Sample(1, 2, 4)], "a sensor")
    assert (fit.power.idle_w, fit.power.busy_w_per_core) == pytest.approx((7 / 6, 1.5))
    assert fit.busy_error_w == pytest.approx((1 / 6 / 2) ** 0.5)
    assert fit.idle_error_w == pytest.approx((1 / 6 * (1 / 3 + 1 / 2)) ** 0.5)
    assert fit.rms_w == pytest.approx((1 / 6 / 3) ** 0.5)
    assert str(fit) == "1.17 ± 0.37 W + 1.5 ± 0.29 W a core, off by 0.24 W at 3 samples"


def test_two_samples_have_no_error() -> None:
    fit = fit_power([Sample(1, 0, 1), Sample(1, 1, 3)], "a sensor")
    assert fit.busy_error_w is None
    assert "no error can be told" in str(fit)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "0 samples"),
        ([Sample(1, 0, 1)], "1 samples"),
        ([Sample(1, 1, 3), Sample(1, 1.01, 3)], "different load"),
        ([Sample(1, 0, 5), Sample(1, 1, 3)], "cannot be"),
        ([Sample(1, 1, 0.1), Sample(1, 2, 3)], "cannot be"),
        ([Sample(0, 0, 1), Sample(1, 1, 3)], "makes no sense"),
        ([Sample(1, 0, float("nan")), Sample(1, 1, 3)], "makes no sense"),
    ],
)
def test_what_makes_no_model_is_refused(samples: list[Sample], message: str) -> None:
    with pytest.raises(PowerFitError, match=message):
        fit_power(samples, "a sensor")
