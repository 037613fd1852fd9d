"""How far can each pruner go before the network collapses?

    .venv/bin/python benchmarks/rho_max.py                         # an hour or more on one core, GraSP's last; rewrites rho_max.md
    .venv/bin/python benchmarks/rho_max.py --cases FC Conv         # the networks whose name begins so; the others stay as they are

The theoretical maximum, log10(weights / length of the shortest path), leaves one weight a layer on the shortest path
from the input to an output; a residual block is passed by its shortcut, which costs a weight only where it widens (a
1x1 convolution). (Rounding up, a slightly larger rho leaves as many weights, and is not counted.)

A pruner's rho_max is found by search on a grid of rhos below that maximum: pruned to it the network is connected, and
pruned to the next rho of the grid it is not. Connection need not be monotone in rho (each rho is a pruning of its
own), so a higher rho may be borne again; the search starts from where one pruning towards the maximum loses the last
path, which is the region that matters. All five pruners score and prune in 100 rounds, as this paper runs them; SNIP
and GraSP, whose own papers score once, are searched that way, too, from rho 0 upwards. SNIP and GraSP see one image
of every class, of noise in the shape of the data set: what is asked is what initial weights and score do, not the
data (on FC ten real MNIST images a class instead lower SNIP's rho_max by 0.1 and GraSP's by 0.05; scored at once from
such images, GraSP bears 1.5 in three seeds of three and 2 in one: appendix C.2). The LSTM head reads tuples of five
embeddings, noise as well.

Without residual paths SynFlow reaches the maximum, as its conserved sums promise: no layer can lose its last weight
before all have one. Across a residual block it is the sum over both branches that is conserved, so it may pass a block
that widens by the two convolutions instead of the shortcut, which costs a weight more, and may keep a spare weight where
one would do; it falls a few weights short on ResNet-18 and WideResNet-20. The head's biases are prunable, and one leads to
an output without the input: they take the place of weights that would, and SynFlow falls three weights short there.

PyTorch's initial weights are uniform, and a sixth of He's normal ones in variance: of a layer whose bound lies below the threshold
none is left, where a normal one keeps its tails. So FC and Conv are searched from He's as well (the papers of SNIP and GraSP start from
larger weights than PyTorch's).

GraSP in 100 rounds empties the first layer of the residual networks, however little a round prunes: of the 432 weights of
WideResNet-20's, four are left after 15 rounds of a pruning that has taken a fifth of all weights.

What is found is kept in benchmarks/rho_max.json as it comes, and not searched again: stop whenever you like, the same
command goes on. Delete that file after a change of the pruners.
"""
import argparse
import itertools
import json
import math
import statistics
import time
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn

from sharedlabel import choices, heads, models, pruning, runtime
from sharedlabel.runs.files import write_atomically

CASES = {  # name: model, shape, classes; PyTorch's initial weights but where He's are named
    "FC, MNIST": ("fc", (1, 28, 28), 10), "FC, MNIST, He's": ("fc", (1, 28, 28), 10),
    "Conv, MNIST": ("conv", (1, 28, 28), 10), "Conv, MNIST, He's": ("conv", (1, 28, 28), 10), "Conv, CIFAR-10": ("conv", (3, 32, 32), 10),
    "ResNet-18, CIFAR-10": ("resnet18", (3, 32, 32), 10), "WideResNet-20, CIFAR-100": ("wideresnet20", (3, 32, 32), 100),
    "LSTM head, MNIST": ("head", (5, 10), 10),
}
WAYS = {pruner: (pruner, 100) for pruner in choices.PAPER_PRUNERS}  # by name: the pruner, and in how many rounds
WAYS |= {f"{pruner}, once": (pruner, 1) for pruner in ("snip", "grasp")}
FINE, COARSE = (0.05, 3), (0.1, 1)  # the grid's step, and how many seeds
SLOW = [(model, way) for model in ("wideresnet20", "resnet18") for way in WAYS if way.startswith(("snip", "grasp"))]  # get the coarse one
FOUND = Path(__file__).with_suffix(".json")


def start(case: str, seed: int) -> tuple[nn.Module, tuple, torch.Generator]:
    """The network, the batch and the random stream of one pruning."""
    model, shape, classes = CASES[case]
    stream = runtime.random_stream(seed, "rho_max")
    batch = torch.randn(classes, *shape, generator=stream), torch.arange(classes)
    if model == "head":
        with models.initialised_by(runtime.random_stream(seed, "head initialisation")):
            return heads.LSTMHead(shape[-1], classes), batch, stream
    initialisation = "he" if case.endswith("He's") else "pytorch"
    return models.build(model, shape, classes, runtime.random_stream(seed, "initialisation"), initialisation), batch, stream


def total(network: nn.Module) -> int:
    return sum(mask.numel() for mask in pruning.masks(network).values())


def theoretical(case: str) -> tuple[float, int]:
    """The largest rho that any mask bears, and the weights that it leaves: one a layer of the shortest path."""
    network, _, _ = start(case, 0)
    least = pruning.shortest_path(network)
    return math.log10(total(network) / least) + 1e-9, least  # rounded down it would leave a weight more


def lost_at(case: str, way: str, rho: float, seed: int) -> float | None:
    """The rho that a pruning to `rho` had reached before the round in which it lost the last path; None where it kept one.

    What is lost is lost for good, so the rounds that would follow are not made.
    """
    network, batch, stream = start(case, seed)
    (pruner, rounds), left = WAYS[way], [total(network)]
    score = pruning.PRUNERS[pruner]

    def watched(network, weights, batch, generator):
        alive = {name: weight != 0 for name, weight in weights.items()}
        if not pruning.connected(network, alive, batch[0].shape[1:]):
            raise pruning.LayerCollapse
        left.append(sum(int(mask.sum()) for mask in alive.values()))
        return score(network, weights, batch, generator)

    try:
        with patch.dict(pruning.PRUNERS, {pruner: watched}):
            pruning.prune(network, pruner, rho, batch, rounds, stream)
    except pruning.LayerCollapse:
        return math.log10(total(network) / left[-1])
    return None


def search(case: str, way: str, seed: int, step: float) -> float:
    """rho_max, as the module's docstring defines it; the grid is the theoretical maximum less whole steps."""
    most, _ = theoretical(case)
    reached = lost_at(case, way, most, seed)
    if reached is None:
        return most

    def borne(below: int) -> bool:
        return lost_at(case, way, most - below * step, seed) is None

    below, stride = max(1, math.ceil((most - reached) / step)), 1
    if borne(below):
        while below > 1 and borne(below - 1):
            below -= 1
        return most - below * step
    while not borne(below + stride):  # rho 0 is borne by all
        below, stride = below + stride, 2 * stride
    lost, below = below, below + stride
    while below - lost > 1:
        middle = (below + lost) // 2
        lost, below = (lost, middle) if borne(middle) else (middle, below)
    return max(0.0, most - below * step)


def plan(case: str, way: str) -> tuple[float, int]:
    """The grid's step, and how many seeds."""
    return COARSE if (CASES[case][0], way) in SLOW else FINE


def cell(case: str, way: str, found: dict[str, float]) -> str:
    """The median over seeds, the weights that it leaves, and the range where seeds differ."""
    seeds = plan(case, way)[1]
    rhos = [found[key] for seed in range(seeds) if (key := f"{case} {way} {seed}") in found]
    if not rhos:
        return "-"
    middle = statistics.median_low(rhos)
    if middle <= 0:
        return f"below {plan(case, way)[0]}" + ("" if seeds > 1 else " *")
    told = f"{middle:.2f} ({pruning.remaining_weights(total(start(case, 0)[0]), middle):,})"
    return told + (f", {min(rhos):.2f} to {max(rhos):.2f}" if max(rhos) > min(rhos) else "") + ("" if seeds > 1 else " *")


def table(found: dict[str, float]) -> str:
    lines = [
        "# The largest rho that each pruner bears\n",
        "Written by `benchmarks/rho_max.py`, whose docstring says what is measured and how far it can be trusted.\n",
        "rho_max (log10), in brackets the weights that it leaves, of pruning in 100 rounds or at once; the median of "
        f"{FINE[1]} seeds and their range where they differ, to {FINE[0]}. With a star: one seed, to {COARSE[0]}.\n",
        "SNIP and GraSP score noise here, one image a class: on ten real images a class FC's limits come out 0.05 to 0.1 lower. Beyond "
        "its limit a network may hold again, as each rho is a pruning of its own. So the counts of collapses in appendix C.2, of "
        "real images and other seeds, may lie a step to either side.\n",
        "SynFlow reaches the theoretical maximum (\"any mask\") on FC and Conv, whose layers follow one another, and there SNIP does, "
        "too, from He's initial weights; from PyTorch's it loses FC. Past residual blocks "
        "and in the LSTM head SynFlow does not, by a few weights: the docstring says why, and what GraSP empties in 100 rounds.\n",
        "The head is scored on sequences of five here, by the study's usual runs on two. On the longest of Table 2, 40, SynFlow loses the "
        "paths of 3 heads of 20 already at "
        "3.75 (`pruning.scores.synflow`).\n",
        f"| network | weights | any mask | {' | '.join(WAYS)} |", "|---" * (3 + len(WAYS)) + "|",
    ]
    for case in CASES:
        most, least = theoretical(case)
        cells = (cell(case, way, found) for way in WAYS)
        lines.append(f"| {case} | {total(start(case, 0)[0]):,} | {most:.2f} ({least}) | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=[""], metavar="NAME", help="search only in networks whose name begins so")
    names = parser.parse_args().cases
    chosen = [case for case in CASES if case.startswith(tuple(names))]
    if not chosen:
        parser.error(f"--cases: no network is called {' or '.join(names)}; there are {'; '.join(CASES)}")
    runtime.select_device("cpu")
    found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    for case, way in sorted(itertools.product(chosen, WAYS), key=lambda each: (CASES[each[0]][0], each[1]) in SLOW):  # what is slow last
        step, seeds = plan(case, way)
        for seed in range(seeds):
            key, started = f"{case} {way} {seed}", time.monotonic()
            if key not in found:
                found[key] = search(case, way, seed, step)
                print(f"{key}: {found[key]:.2f}, {time.monotonic() - started:.0f} s", flush=True)
                write_atomically({FOUND: (json.dumps(found, indent=1) + "\n").encode()})
    Path(__file__).with_suffix(".md").write_text(table(found))


if __name__ == "__main__":
    main()
