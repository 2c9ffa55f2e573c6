"""Which local epochs E, devices C and cutoff τ reach a target: the trade-offs of the on-device paper's tables 2 and 3.

Mathur et al., "On-device Federated Learning with Flower" (2021): table 2a varies E, table 2b C, table 3 τ, each against
minutes and kilojoules of all rounds. Their accuracies cannot be foretold; what stands for them here is the local work,
passes through a device's data, of which more is better until it no longer helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from python_server.errors import PlanError
from python_server.experiment import Experiment
from python_server.model import RunBundles
from python_server.planner.fleet import PlannedDevice
from python_server.planner.forecast import forecast
from python_server.planner.results import Change
from python_server.planner.text import table

__all__ = ["Suggestion", "drawn", "render_suggestions", "suggestions"]

_EPOCHS = (1, 2, 5, 10)
_ROUNDS = 5
"""That are worked out of each setting; the others are taken to be like them."""
_MOST_SETTINGS = 1000


@dataclass(frozen=True)
class Suggestion:
    """A setting, and what it takes.

    Attributes
    ----------
    epochs, clients, cutoff_s
        E, C and τ.
    minutes
        Of all rounds.
    kilojoules
        Of all devices in all rounds; None: no power is known.
    local_epochs
        Passes through their data that all devices do together in all rounds.
    late
        Tasks that are not answered before the deadline, in all rounds.
    fits
        Whether it reaches the targets.
    best
        Of those that do, the one with the most local work.
    """

    epochs: int
    clients: int
    cutoff_s: float
    minutes: float
    kilojoules: Optional[float]
    local_epochs: float
    late: int
    fits: bool
    best: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it for a script."""
        return asdict(self)


def suggestions(
    experiment: Experiment,
    model: RunBundles,
    fleet: Sequence[PlannedDevice],
    *,
    epochs: Optional[Sequence[int]] = None,
    clients: Optional[Sequence[int]] = None,
    cutoffs: Optional[Sequence[float]] = None,
    minutes: Optional[float] = None,
    kilojoules: Optional[float] = None,
) -> list[Suggestion]:
    """Work out all combinations of settings.

    Parameters
    ----------
    experiment, model, fleet
        As for `python_server.planner.forecast.forecast`.
    epochs, clients, cutoffs
        Values of E, C and τ to try. None: E of 1, 2, 5, 10 and the experiment's; C of all devices and of half of them;
        τ of none, and of what the fastest and the median device take for the experiment's epochs.
    minutes, kilojoules
        Targets; None: none.

    Raises
    ------
    PlanError
        There are too many combinations, more devices are asked for than there are, or kilojoules are a target and
        nobody knows the devices' power.
    """
    count = len(fleet)
    tried_epochs = list(epochs or sorted({*_EPOCHS, experiment.train.epochs}))
    tried_clients = list(clients or sorted({count, max(1, count // 2)}))
    if max(tried_clients) > count:
        raise PlanError(f"--try-clients {max(tried_clients)}: there are {count} devices")
    if cutoffs is None:
        usual = forecast(experiment, model, fleet, most_rounds=1)
        times = sorted(each.train_s for each in usual.devices if each.asked)
        cutoffs = sorted({0.0, *(float(f"{times[place]:.3g}") for place in (0, len(times) // 2))})
    settings = [(e, c, tau) for e in tried_epochs for c in tried_clients for tau in cutoffs]
    if len(settings) > _MOST_SETTINGS:
        raise PlanError(f"{len(settings)} combinations of E, C and τ are too many; try {_MOST_SETTINGS} at most")
    found = []
    for e, c, tau in settings:
        plan = forecast(experiment, model, fleet, change=Change(e, c, tau), most_rounds=_ROUNDS)
        joules = sum(plan.energy_j.values()) / 1000 if plan.energy_j else None
        if kilojoules is not None and joules is None:
            raise PlanError("--kilojoules: no device's power is known; calibrate them, or give profiles that say it")
        fits = (minutes is None or plan.total_s <= 60 * minutes) and (
            kilojoules is None or (joules or 0.0) <= kilojoules
        )
        late = sum(each.late for each in plan.devices)
        found.append(Suggestion(e, c, tau, plan.total_s / 60, joules, plan.local_epochs, late, fits))
    fitting = [each for each in found if each.fits]
    if minutes is None and kilojoules is None:
        return found
    best = max(fitting, key=lambda each: (each.local_epochs, -each.minutes), default=None)
    return [Suggestion(**{**vars(each), "best": each is best}) for each in found]


def render_suggestions(found: Sequence[Suggestion], minutes: Optional[float], kilojoules: Optional[float]) -> str:
    """Return the trade-offs as text."""
    rows = [
        {
            "E": str(each.epochs),
            "C": str(each.clients),
            "τ s": f"{each.cutoff_s:g}",
            "minutes": f"{each.minutes:.4g}",
            "kJ": "" if each.kilojoules is None else f"{each.kilojoules:.4g}",
            "local epochs": f"{each.local_epochs:.4g}",
            "late": str(each.late or ""),
            "": "<- most local work within the target" if each.best else "" if each.fits else "over the target",
        }
        for each in found
    ]
    lines = table(rows)
    targets = [f"{minutes:g} min" if minutes else "", f"{kilojoules:g} kJ" if kilojoules else ""]
    wanted = " and ".join(filter(None, targets))
    if wanted and not any(each.fits for each in found):
        lines.append(f"none of these keeps within {wanted}; fewer rounds would: time and energy grow with them")
    return "\n".join(lines)


def drawn(found: Sequence[Suggestion]) -> str:
    """Return a picture: local work by minutes, a line for each C and τ over E."""
    from python_server.report.charts import line_chart
    from python_server.report.standalone import standalone

    lines: dict[str, list[tuple[float, Optional[float]]]] = {}
    for each in found:
        name = f"τ = {each.cutoff_s:.3g} s" if each.cutoff_s else "no cutoff"
        if len({one.clients for one in found}) > 1:
            name = f"C = {each.clients}, {name}"
        lines.setdefault(name, []).append((each.minutes, each.local_epochs))
    title = "Local work by time"
    chart = line_chart(
        {name: sorted(points, key=lambda point: point[0]) for name, points in lines.items()},
        title=title,
        x_label="minutes of all rounds, planned",
        y_label="local epochs",
    )
    return standalone(chart, title)
