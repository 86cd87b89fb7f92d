"""Table that compares transfers of --mode all, with several runs a column.

for SEED in 0 1 2; do
    latentkit run --dataset fashion-mnist --epochs 10 --seed $SEED --name plain-$SEED
    latentkit run --dataset fashion-mnist --epochs 10 --seed $SEED --name noise-$SEED \
        --corrupt gaussian-noise -o gaussian-noise.std=0.3
    for START in plain noise; do
        latentkit transfer runs/$START-$SEED --mode all --labels 1% --labels 10% \
            --seeds 1 --seed $SEED --epochs 20 -o transfer.flip=true --no-maps \
            --name all-$START-$SEED
    done
done
python tests/benchmarks/transfer_table.py plain: runs/all-plain-* noise: runs/all-noise-*

Each NAME: is followed by its runs in order; the n-th runs of all names form a pair, for example
with one seed. A cell is the mean accuracy over the runs of a name ± half of Student's 95 %
interval. The last columns are the paired differences from the first name.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from over_seeds import over_seeds

import latentkit as lk

Row = tuple[str, int]


def main() -> None:
    """Print the table."""
    columns: dict[str, list[dict[Row, float]]] = {}
    for text in sys.argv[1:]:
        if text.endswith(":"):
            columns[text[:-1]] = []
        elif columns:
            columns[list(columns)[-1]].append(accuracies(lk.open(text)))
    if not columns:
        sys.exit(__doc__)
    first, *others = columns
    headings = [*columns, *(f"{name} - {first}" for name in others)]
    print("| classifier | labels | " + " | ".join(headings) + " |")
    print("| --- | ---: |" + " --- |" * len(headings))
    for row in columns[first][0]:
        found = {name: np.array([run[row] for run in runs]) for name, runs in columns.items()}
        cells = [over_seeds(values, ".3f") for values in found.values()]
        cells += [over_seeds(found[name] - found[first], "+.3f") for name in others]
        print(f"| {row[0]} | {row[1]:,} | " + " | ".join(cells) + " |")


def accuracies(run: lk.Run) -> dict[Row, float]:
    """Return the mean accuracy by mode and number of labels."""
    rows: list[dict[str, Any]] = run.evaluation["comparison"]["rows"]
    return {(row["mode"], row["n_labels"]): row["accuracy"]["value"] for row in rows}


if __name__ == "__main__":
    main()
