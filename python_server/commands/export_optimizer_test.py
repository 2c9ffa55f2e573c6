"""The optimizer that the options of ``pocketfleet export`` ask for."""

from __future__ import annotations

import argparse

import pytest

from model_export import Adam, Sgd
from model_export.errors import ExportError
from model_export.options import Optimizer
from python_server.commands.export import Export, _optimizer


def chosen(*arguments: str) -> Optimizer:
    parser = argparse.ArgumentParser()
    Export().add_arguments(parser)
    return _optimizer(parser.parse_args(["small_cnn", "-o", "b", *arguments]))


def test_options_reach_the_optimizer() -> None:
    assert chosen() == Sgd()
    assert chosen("--momentum", "0.9", "--nesterov", "--clip-norm", "2") == Sgd(0.9, nesterov=True, clip_norm=2.0)
    assert chosen("--optimizer", "adam", "--weight-decay", "0.1", "--proximal") == Adam(weight_decay=0.1, proximal=True)
    assert chosen(
        "--optimizer", "adam", "--beta-1", "0.5", "--beta-2", "0.9", "--epsilon", "1e-3", "--amsgrad"
    ) == Adam(0.5, 0.9, 1e-3, amsgrad=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimizer", "adam", "--momentum", "0.9"], "--momentum is for --optimizer sgd"),
        (["--optimizer", "adam", "--nesterov"], "--nesterov is for --optimizer sgd"),
        (["--beta-2", "0.9"], "--beta-2 is for --optimizer adam"),
        (["--amsgrad"], "--amsgrad is for --optimizer adam"),
    ],
)
def test_option_of_the_other_optimizer(arguments: list[str], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        chosen(*arguments)
