"""`python -m benchmarks`: every comparison, a table, and a line ``RATIO name value`` each; and figures, timed."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from . import adaptation, figures, neighbours, similarity, store


def main() -> None:
    """Run all, or the tiny sizes that only show that they run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="one round, small sizes")
    tiny = parser.parse_args().tiny
    rounds, rows = (1, 2_000) if tiny else (5, 20_000)
    found = [
        *adaptation.main(rounds),
        *neighbours.main(rounds, rows),
        *store.main(rounds, rows),
        *similarity.main(rounds, rows),
    ]
    table = Table(box=None, padding=(0, 2))
    for column in ("comparison", "against", "ratio", "lowest", "highest"):
        table.add_column(column, justify="left" if column in ("comparison", "against") else "right")
    for r in found:
        table.add_row(r.name, r.peer, f"{r.value:.2f}", f"{r.low:.2f}", f"{r.high:.2f}")
    Console().print(table)
    for r in found:
        print(r.line())
    for timing in figures.main(tiny):
        print(timing.line())


if __name__ == "__main__":
    main()
