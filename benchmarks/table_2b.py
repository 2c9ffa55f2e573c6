"""Table 2b of the on-device paper: head-only training on Office-31 over 4, 7 and 10 clients.

Mathur et al. 2021, Table 2b: MobileNetV2 base frozen, a head of two dense layers, E = 5 local epochs, 20 rounds;
accuracy 0.84, 0.85, 0.87 with 4, 7, 10 phones. Here every client is a real client process on this machine with a tenth
of the training images of one Office-31 domain, so the accuracy is comparable in kind, and time and energy are this
machine's.

    .venv/bin/python benchmarks/table_2b.py
    .venv/bin/python benchmarks/table_2b.py --clients 4 10 --rounds 5 --size 96 --work /tmp/table_2b
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from office31 import experiment, export_bundle, prepare_clients, run_experiment

from python_server.report import table_2

PAPER = (
    "Paper (Pixel 2-4, Galaxy Tab S4, S6): C = 4: 0.84, 30.7 min, 10.4 kJ; 7: 0.85, 31.3, 19.72; 10: 0.87, 31.8, 28.0"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment for each number of clients and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[4, 7, 10], help="values of C, at most 10")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5, help="local epochs E")
    parser.add_argument("--domain", default="amazon", choices=["amazon", "dslr", "webcam"])
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for data and runs; kept")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        names = prepare_clients(work, options.domain, options.size, options.seed)
        if not (work / "bundle").exists():
            export_bundle(work / "bundle", names, options.size, options.seed)
        summaries = []
        for count in options.clients:
            file = work / f"clients_{count}.toml"
            file.write_text(experiment(f"office31-c{count}", options, [""] * count))
            summaries.append(run_experiment(file, work / "runs").summary)
    print(table_2(summaries, vary="clients"))
    print(f"\nOffice-31 {options.domain}, seed {options.seed}, E = {options.epochs}, {options.rounds} rounds.")
    print(PAPER)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
