"""``pocketfleet plan``: what an experiment will take, before it runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from edge_client.arguments import number, whole

if TYPE_CHECKING:
    from python_server.experiment import Experiment
    from python_server.model import RunBundles
    from python_server.planner.calibrations import Calibrations
    from python_server.planner.fleet import PlannedDevice

__all__ = ["Plan"]


class Plan:
    """Plan."""

    name = "plan"
    help = "foretell time, energy, traffic and cost of an experiment"
    description = (
        "Work out the rounds of an experiment without doing them: for each device and for the fleet the time of a "
        "round, energy by phase, traffic, memory, battery, and who comes too late. Devices are those of an inventory, "
        "with what `pocketfleet fleet calibrate` measured, or those of the experiment file. See docs/planning.md."
    )
    examples = """\
examples:
  pocketfleet plan digits.toml
  pocketfleet plan digits.toml --inventory lab.toml --group pis
  pocketfleet plan digits.toml --minutes 30 --kilojoules 20
  pocketfleet plan digits.toml --try-epochs 1 5 10 --try-cutoff 0 60 90 --svg trade-off.svg
  pocketfleet plan digits.toml --json | jq '.devices[] | select(.late > 0).name'
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.toml", help="what to do")
        parser.add_argument("--inventory", type=Path, metavar="FILE", help="plan for the devices of this inventory")
        parser.add_argument("--device", action="append", default=[], metavar="NAME", help="only this one; repeatable")
        parser.add_argument("--group", action="append", default=[], metavar="NAME", help="only those of a group")
        parser.add_argument(
            "--calibration", type=Path, metavar="FILE", help="default: beside the inventory, FLEET.calibration.json"
        )
        parser.add_argument(
            "--observed", type=Path, metavar="RUN", help="take speeds and power from what devices did in this run"
        )
        parser.add_argument("--examples", type=whole(1), metavar="N", help="samples of devices whose data is not named")
        parser.add_argument("--farm", action="store_true", help="what the devices would cost as phones of Device Farm")
        suggest = parser.add_argument_group("trade-offs: other E, C and τ, and which of them reach a target")
        suggest.add_argument(
            "--minutes", type=number(above=0), metavar="MIN", help="target: all rounds within this time"
        )
        suggest.add_argument(
            "--kilojoules", type=number(above=0), metavar="KJ", help="target: energy of all devices together"
        )
        suggest.add_argument("--try-epochs", type=whole(1), nargs="+", metavar="E", help="local epochs")
        suggest.add_argument("--try-clients", type=whole(1), nargs="+", metavar="C", help="devices in a round")
        suggest.add_argument(
            "--try-cutoff", type=number(least=0), nargs="+", metavar="τ", help="seconds of training; 0: none"
        )
        suggest.add_argument("--svg", type=Path, metavar="FILE", help="draw the trade-offs")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Work it out, and print it."""
        from model_export.files import write_atomically
        from python_server.experiment import load_experiment
        from python_server.planner.forecast import forecast
        from python_server.planner.suggest import drawn, render_suggestions, suggestions
        from python_server.planner.text import as_json, farm_cost, render

        experiment = load_experiment(options.experiment)
        model, fleet = _load(experiment, options)
        plan = forecast(experiment, model, fleet)
        phones = len(fleet) if options.farm else sum(each.farm for each in fleet)
        farm = farm_cost(plan, phones) if phones else None
        wants = (options.minutes, options.kilojoules, options.try_epochs, options.try_clients, options.try_cutoff)
        found = None
        if any(each is not None for each in (*wants, options.svg)):
            found = suggestions(
                experiment,
                model,
                fleet,
                epochs=options.try_epochs,
                clients=options.try_clients,
                cutoffs=options.try_cutoff,
                minutes=options.minutes,
                kilojoules=options.kilojoules,
            )
            if options.svg is not None:
                write_atomically(options.svg, drawn(found).encode())
        if options.json:
            told = as_json(plan, farm)
            if found is not None:
                told["suggestions"] = [each.as_json() for each in found]
            print(json.dumps(told, indent=1))
        else:
            print(render(plan, farm))
            if found is not None:
                print("\n" + render_suggestions(found, options.minutes, options.kilojoules))
        return 0


def _load(experiment: Experiment, options: argparse.Namespace) -> tuple[RunBundles, list[PlannedDevice]]:
    """Load bundles and devices."""
    from deployment.inventory import load_inventory
    from python_server.errors import PlanError
    from python_server.model import RunBundles
    from python_server.new_run import check_fit
    from python_server.planner.calibrations import calibration_file
    from python_server.planner.fleet import of_experiment, of_inventory

    trusted = experiment.model.trusted_key
    with experiment.naming():
        model = RunBundles(
            experiment.model.bundle,
            trusted_key=trusted.read_bytes() if trusted else None,
            variants={variant.name: variant.bundle for variant in experiment.variants},
        )
    check_fit(experiment, model)
    given: Optional[Path] = options.calibration
    if given is not None and not given.exists():
        raise PlanError(f"there is no {given}; make it with: pocketfleet fleet calibrate BUNDLE")
    if options.inventory is None:
        if options.device or options.group:
            raise PlanError("--device and --group choose from an inventory; name it with --inventory")
        calibrations = _calibrations(given, options.observed)
        return model, of_experiment(experiment, model, calibrations)
    inventory = load_inventory(options.inventory)
    chosen = inventory.choose(options.device, options.group)
    calibrations = _calibrations(given or calibration_file(options.inventory), options.observed)
    return model, of_inventory(chosen, model, calibrations, examples=options.examples)


def _calibrations(path: Optional[Path], run: Optional[Path]) -> Calibrations:
    """Read what was calibrated; what a run observed is added, and counts where it is newer."""
    from python_server.planner.calibrations import Calibrations
    from python_server.planner.observed import observed

    known = Calibrations(path)
    if run is not None:
        known.include(observed(run))
    return known
