"""Whose batch-norm statistics count, where devices hold parts of a network.

Moving means and variances of a part of a network, a narrow slice or a pruned one, are of sums over fewer inputs. They
fit that part and not the whole network, which the server evaluates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from edge_client.records import CODECS
from python_server.groups import Choices
from python_server.strategies.base import Device, Plan
from python_server.submodels import Submodel

__all__ = ["without_partial_statistics"]


def without_partial_statistics(
    plans: Mapping[str, Plan],
    devices: Sequence[Device],
    choices: Choices,
    is_part: Callable[[Submodel], bool],
) -> dict[str, Plan]:
    """Return the plans, in which devices with a part of the network do not send its statistics.

    Parameters
    ----------
    plans
        By device.
    devices
        All that are there. Where each holds a part only, the plans stay as they are.
    choices
        What devices are given.
    is_part
        Whether a submodel's statistics are others than those of the whole network.
    """
    if all(is_part(choices.of(device).submodel) for device in devices):
        return dict(plans)
    # Clients without the fact are older than the choice of variables.
    asked = {device.device for device in devices if CODECS in device.facts}
    return {
        device: _without_statistics(plan, choices) if device in asked and is_part(plan.submodel) else plan
        for device, plan in plans.items()
    }


def _without_statistics(plan: Plan, choices: Choices) -> Plan:
    manifest = next(each.manifest for each in choices.variants if each.name == plan.submodel.name)
    variables = manifest.variables
    return replace(plan, reply=frozenset(path for path in manifest.trained(plan.cut) if variables[path].trained))
