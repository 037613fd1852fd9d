"""What was found past the paper, judged again on data that played no part in anything: FashionMNIST, with MNIST's settings.

A claim is one of another section's. The same function decides it, from the records of the study `fashionmnist` alone.
"""
from dataclasses import replace
from pathlib import Path

import pandas as pd

from sharedlabel.analysis import beyond_law, comparisons, readout, small_dense
from sharedlabel.analysis.comparisons import Claim

STUDY = "benchmarks/fashionmnist"  # its records
SOURCES = {  # of the runs that a claim is about; with the claims that somebody relies on who chooses a network
    "law": (beyond_law, ["law-large-n"]),
    "readout": (readout, ["lda-averaging", "lda-limit", "lda-lstm", "mlp-lstm"]),
    "small_dense": (small_dense, ["dense-flops", "dense-weights"]),
}


def select_runs(results: str | Path = STUDY) -> dict[str, pd.DataFrame]:
    """The runs of every one of SOURCES, as its own `select_runs` has them."""
    return {name: module.select_runs(results) for name, (module, _) in SOURCES.items()}


def known_claims() -> dict[str, tuple[str, Claim]]:
    """The claims as they were made, by id, each with its source."""
    found = {name: {claim.id: claim for claim in module.CLAIMS} for name, (module, _) in SOURCES.items()}
    return {each: (name, found[name][each]) for name, (_, chosen) in SOURCES.items() for each in chosen}


def on_new_data(source: str, claim: Claim) -> Claim:
    """The same claim about `select_runs`, under a name of its own."""
    return replace(claim, id=f"new-{claim.id}", words=f"on FashionMNIST, too: {claim.words}", rows=lambda runs: claim.rows(runs[source]))


CLAIMS = [on_new_data(source, claim) for source, claim in known_claims().values()]


def tabulate(judged: dict[str, pd.DataFrame], results: str | Path = "results") -> pd.DataFrame:
    """The verdict on every claim on the data that it was made on, beside that of `judged` (by the ids of CLAIMS), each with its cases."""
    known, rows = select_runs(results), []
    for (source, claim), new in zip(known_claims().values(), CLAIMS):
        before, after = claim.rows(known[source]), judged[new.id]
        rows.append({
            "claim": claim.words, "before": claim.verdict(before), "its cases": comparisons.count_verdicts(list(before["verdict"])),
            "FashionMNIST": new.verdict(after), "its cases ": comparisons.count_verdicts(list(after["verdict"])),
        })
    return pd.DataFrame(rows)
