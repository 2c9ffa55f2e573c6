"""A client on a slower device than this machine: ``-m benchmarks.papers.slowed_client 3 run --server …``.

After each training step it sleeps for as much longer as the step took of the processor. Unlike a quota (``cgroup``)
that needs no rights, and unlike ``nice`` it does not depend on what else the machine does. It stands in for slower
devices: their time of a step is emulated, the rest of what they do is not slower.
"""

from __future__ import annotations

import sys
import time
from functools import wraps
from typing import Any

from edge_client.cli import main
from edge_client.trainer import Trainer


def slow_down(times: float) -> None:
    """Make every training step of this process so many times as long."""
    step = Trainer.train_step

    @wraps(step)
    def slowed(self: Trainer, *arguments: Any, **options: Any) -> float:
        start = time.process_time()
        loss = step(self, *arguments, **options)
        time.sleep((times - 1) * (time.process_time() - start))
        return loss

    Trainer.train_step = slowed  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down(float(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
