"""Numbers that stand in prose: what was measured is computed again from the records, everything else is named here as no result.

The prose is that of the README, of docs/, of the overview and of the section notebooks, whose captions and alternative texts count, too.
"""
import ast
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from sharedlabel import ROOT, models
from sharedlabel.analysis import (
    appendix_c_2,
    appendix_c_2_figures,
    beyond_dependent,
    beyond_law,
    beyond_law_figures,
    beyond_new_data,
    beyond_pruning,
    choose,
    claims,
    comparisons,
    intervals,
    law,
    overview,
    planner,
    plots,
    readout,
    report,
    sanity_checks,
    section_5_1,
    section_5_1_claims,
    section_5_2,
    section_5_2_settings,
    section_5_2_training,
    section_5_3,
    section_5_3_pruners,
    section_5_3_runs,
    section_5_3_table_2,
    small_dense,
    tables,
)
from sharedlabel.runs import parameters, studies

FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "notebooks").glob("*.ipynb")),
         *sorted((ROOT / "notebooks" / "sections").glob("*.ipynb"))]
DOCUMENTS = [str(file.relative_to(ROOT)) for file in FILES if file.name != "studies.md"]  # which is one table, and has a test of its own
WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}


@cache
def prose(document: str) -> str:
    """The text of a document as one line, without what `make claims` writes; of a notebook its Markdown cells and what its code says."""
    text = (ROOT / document).read_text()
    if document.endswith(".ipynb"):
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
        text = "\n\n".join(source if kind == "markdown" else " ".join(phrases(source)) for kind, source in cells)
    text = re.sub(r"<!-- scoreboard.*<!-- end of scoreboard -->", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"^ *\d+\. ", "", text, flags=re.MULTILINE).split())  # numbered lists are not results


def phrases(code: str) -> list[str]:
    """The strings in code that are text: those of five words or more."""
    constants = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    return [value for value in constants if isinstance(value, str) and len(value.split()) >= 5]


# ---- what was measured


def sweet_spots_by_n_over_rho() -> tuple:
    """In how many of the paper's cases there is one, of how many (of the others nobody can tell); with ours in how many, of how many."""
    runs = section_5_1.select_runs()
    own, everywhere = (section_5_1_claims.claim_sweet_spot(runs, paper_alone=alone) for alone in (True, False))
    doubtful = own["case"].isin(section_5_1.inconclusive(runs))
    assert set(own.loc[doubtful, "case"]) == {"Tiny ImageNet, WideResNet-20"} and ((own["verdict"] == "holds") != doubtful).all()
    return (~doubtful).sum(), len(own), (everywhere["verdict"] == "holds").sum(), len(everywhere)


def tuples_for_one_image() -> tuple:
    """CIFAR-100's ResNet-18: what one image at the smallest rho is named, with 10 images the largest rho that surely is no less often,
    by how many points more, and its FLOPs."""
    row = section_5_1.tabulate_harder(section_5_1.select_runs()).set_index("network").loc["CIFAR-100, ResNet-18"]
    accuracy, rho, more, half, share = re.fullmatch(
        r"([\d.]+) % at ρ = 2 / ([\d.]+) \(([\d.]+) ± ([\d.]+); ([\d.]+)\)", f"{row['one image']} / {row['n = 10']}").groups()
    assert float(more) > float(half)
    return float(accuracy), rho, more, half, 100 * float(share)


def flops_left_out() -> tuple:
    """FLOPs of an image of CIFAR-10's Conv at the largest rho; with 100 more an image, in how many cases the best rho surely is the
    largest: as many as without, and in the mean in all; with 300 more, in how many it is so in the mean, of how many."""
    runs = section_5_1.select_runs()
    with_more, with_300, without = (section_5_1.summarise_sweet_spots(
        runs.assign(gain_per_mflop=runs["information_gain"] / (runs["flops"] + more * runs["n"])), "gain_per_mflop")
        for more in (100, 300, 0))
    largest = {network: part["rho"].max() for network, part in section_5_1.networks(runs).items()}
    assert (with_more["best"] == with_more["network"].map(largest)).all()
    surely, also = ((found["upper_end"] >= section_5_1.SURE).sum() for found in (with_more, without))
    assert surely == also
    still = with_300["best"] == with_300["network"].map(largest)
    return section_5_1.networks(runs)["CIFAR-10, Conv"].query("rho == 4.5 and n == 1")["flops"].mean(), surely, still.sum(), len(still)


def price_of_holm() -> tuple:
    """How many cases Table 2's claim has, and how many half-intervals Holm asks of the first, of three seeds and of five."""
    _, cases = count_holds(section_5_3, "lstm-beats-all", section_5_3_runs.select_runs())
    return cases, *(stats.t.ppf(1 - 0.025 / cases, seeds - 1) / stats.t.ppf(0.975, seeds - 1) for seeds in (3, 5))


def flops_per_paper_cost() -> tuple:
    """By which factor FLOPs fall from the smallest to the largest rho, over n / rho's: the least and the most of networks."""
    found = section_5_1_claims.claim_cost(section_5_1.select_runs(), paper_alone=False)["estimate"]
    return round(found.min()), round(found.max())


def back_to_the_sweet_spot() -> tuple:
    """CIFAR-10's Conv at n = 1: bits at its best rho and at rho = 3, and how many times the FLOPs."""
    found = section_5_1.curve_runs(section_5_1.select_runs()).query("dataset == 'cifar10' and model == 'conv' and n == 1").groupby("rho")
    bits, macs, best = (found[name].mean() for name in ("information_gain", "macs_live_image", "relative_information"))
    assert best.idxmax() == 2 and 0.45 < bits[2] - bits[3] < 0.55
    return bits[2], bits[3], int(macs[2] / macs[3])


def relative_information_at_table_2() -> tuple:
    """Where the CNN-LSTM pruned as stated is not significantly behind averaging at Table 2's rho, on MNIST and CIFAR-10: n, data."""
    found = section_5_3.lstm_minus_methods(section_5_3_runs.select_runs(), True, "relative_information")
    found = found[(found["variant"] == "balanced_table_2") & found["dataset"].isin(["mnist", "cifar10"])]
    assert len(found) == 10 and (found["mean"] < 0).all()
    (row,) = found[found["verdict"] != "fails"].itertuples()
    return row.n, plots.TITLES[row.dataset]


def balanced_under_snip() -> tuple:
    """By how many points balanced training is ahead of the baseline under SNIP on MNIST's Conv at Table 1's rho, and half the intervals."""
    found = section_5_3_pruners.orders_in_table_1(section_5_3_runs.select_runs(), "snip")
    assert found["rho"].tolist() == [3.25, 3.5] and set(found["n"]) == {80} and found["synflow_significant"].all()
    assert (found["low"] < 0).all() and (found["high"] > 0).all()
    return tuple(value for row in found.itertuples() for value in (row.mean, row.high - row.mean))


def pruned_head_of_tinyimagenet() -> tuple:
    """Tiny ImageNet's CNN-LSTM pruned as stated, three seeds, minus its own CNN's averaged logits at n = 2 and 40, the head alone on
    single images minus it, and it minus the baseline at n = 15 and 40: with half an interval, sure at every n of the first two."""
    runs = section_5_3_runs.select_runs()
    table_2 = section_5_3_table_2.beside_printed(runs).query("dataset == 'tinyimagenet' and n == 40")
    averaged, stated = (table_2[table_2["variant"] == name] for name in ("balanced_table_2", "lstm_balanced"))
    assert set(averaged["seeds"]) == {1} and averaged["mean"].max() > stated.query("head_rho == 1")["mean"].item()
    heads = section_5_3_runs.random_tuples(runs).query("dataset == 'tinyimagenet' and head_rho == 1")
    found = []
    for other, sign, sizes in (("balanced", 1, (2, 40)), ("head_per_image_balanced", -1, (2, 40)), ("baseline", 1, (15, 40))):
        pairs = section_5_3_runs.pairs_at(heads, "lstm_balanced", [other], heads=other.startswith("head"))
        own = intervals.summary(pairs.assign(difference=sign * pairs["difference"]), "difference", ["n"]).set_index("n")
        sure = list(sizes) if other == "baseline" else [2, 5, 7, 15, 40]
        assert (own["seeds"] == 3).all() and (own.loc[sure, "low"] > 0).all()
        found += [value for n in sizes for value in (own.loc[n, "mean"], own.loc[n, "high"] - own.loc[n, "mean"])]
    return tuple(found)


def graphs_of_tinyimagenet() -> tuple:
    """Epochs of Tiny ImageNet's graphs, one seed, of which all but one were best in their last epoch; what they name at n = 2, 5 and 15:
    joined embeddings, then guessing, the same with an unpruned classifier, neurons, and averaging over the balanced CNN of that seed."""
    runs = tables.load_records().query("dataset == 'tinyimagenet' and protocol == 'random' and seed == 0")
    graphs = tables.select(runs, method="graph").sort_values(["n", "architecture"]).assign(per_cent=lambda table: 100 * table["n_accuracy"])
    architectures = ("embedding", 2.0), ("embedding", 0.0), ("neuron", 2.0)
    kinds = [tables.select(graphs, architecture=name, head_rho=rho) for name, rho in architectures]
    assert all(each["n"].tolist() == [2, 5, 15] for each in kinds) and (graphs["best"] < graphs["epochs"]).sum() == 1
    joined, whole, messages = (each["per_cent"] for each in kinds)
    averaged = tables.select(runs, method="balanced", rho=3.0, model="conv").set_index("n").loc[[2, 5, 15], "n_accuracy"]
    epochs, classes = (int(graphs[name].unique().item()) for name in ("epochs", "classes"))
    return epochs, *joined, 100 / classes, *whole, *messages, *(100 * averaged)


def printed_leads() -> tuple:
    """By how many points balanced training leads at n = 80 in the paper's Table 1."""
    found = section_5_2.paper_differences().query("n == 80")["paper"]
    return found.min(), found.max()


def balanced_is_ahead() -> tuple:
    """On how many networks balanced training is ahead at the largest n, of how many; on how many among them all."""
    found = section_5_2.claim_balanced_large_n(section_5_2.select_runs(tables.load_records()))
    among_all = comparisons.holm(comparisons.p_values(found.rename(columns={"estimate": "mean"}).astype({"seeds": float}))) < 0.05
    return (found["verdict"] == "holds").sum(), len(found), WORDS[(among_all & (found["estimate"] > 0)).sum()]


def flops_of_constants() -> tuple:
    found = appendix_c_2_figures.constant_shares(appendix_c_2.select_runs()).groupby(["model", "pruning", "rho"])["constant"].mean()
    return found["fc", "snip", 2.0], found["conv", "random", 2.0], math.ceil(found.xs("synflow", level="pruning").max())


def example_network() -> tuple:
    """Weights left and in all of the network that the overview's example shows."""
    name = json.loads(overview.EXAMPLE.read_text())["record"]
    (file,) = (ROOT / "results").rglob(f"{name}.json")
    cnn = json.loads(file.read_text())["network"]["cnn"]
    return cnn["params_remaining"], cnn["params_total"]


def flops_saved() -> tuple:
    """By how many tenths the FLOPs of Conv on MNIST fall from rho = 2 to 3."""
    macs = overview.sweep().groupby("rho")["macs_live_image"].mean()
    return (WORDS[round(10 * (1 - macs[3] / macs[2]))],)


def law_below() -> tuple:
    """The mean error of the law over its large n on MNIST and on CIFAR-10, in points; HIGH, and the errors of n-accuracies below that
    alone; how many per cent of MNIST's are not, where who always says 100 % errs by a tenth of a point more."""
    runs = beyond_law.select_runs()
    large = runs[runs["n"] >= beyond_law.LARGE_N].assign(size=lambda table: table["error_training"].abs())
    high = large["accuracy"] >= beyond_law.HIGH
    every, below = (part.groupby("dataset")["size"].mean().loc[["mnist", "cifar10"]] for part in (large, large[~high]))
    of_mnist = large["dataset"] == "mnist"
    guess = large.loc[high & of_mnist, "room_accuracy"].mean() - large.loc[high & of_mnist, "size"].mean()
    assert 0 < guess < 0.1
    return *every, beyond_law.HIGH, *below, 100 * high[of_mnist].mean()


@cache
def shuffled_against(model: str, rho: float) -> pd.DataFrame:
    """MNIST's masks shuffled in layers beside SynFlow's own at every rho, in pairs by seed; a row a seed, rho and n."""
    runs = small_dense.select_runs().query("dataset == 'mnist' and model == @model and max_epochs == 160")
    own = tables.select(runs, method="baseline", pruner="synflow", prune_iterations=100, initialisation="pytorch", augment="none")
    shuffled = tables.select(runs, method="sanity_check", check="shuffled", rho=rho)
    return shuffled.merge(own, on=["seed", "n"], suffixes=("", "_own")).assign(gain=lambda table: table["accuracy"] - table["accuracy_own"])


def shuffled_flops() -> tuple:
    """How many times fewer FLOPs shuffled masks cost: the least, of FC, and the most, of CIFAR-10's Conv."""
    found = sanity_checks.differences(small_dense.select_runs()).query("kind == 'shuffled' and n == 1")
    means = found.groupby(["dataset", "model", "rho"])[["flops", "own_flops"]].mean()
    times = means["flops"] / means["own_flops"]
    assert times.idxmin()[:2] == ("mnist", "fc") and times.idxmax()[:2] == ("cifar10", "conv")
    return round(times.min()), round(times.max())


def shuffled_ahead_of() -> tuple:
    """The largest rho at which SynFlow's Conv costs more than MNIST's shuffled one at 3; that is surely ahead of it at every n."""
    pairs = shuffled_against("conv", 3.0)
    costs = pairs.groupby("rho_own")[["flops", "flops_own"]].mean()
    rho = costs.index[costs["flops_own"] > costs["flops"]].max()
    assert (intervals.summary(pairs[pairs["rho_own"] == rho], "gain", ["n"])["low"] > 0).all()
    return (rho,)


def closed_form_readout() -> tuple:
    """Of the balanced CNN of MNIST: weights that LDA adds, the CNN's, n-accuracy at n = 5 without and with it, the LSTM head's weights and
    n-accuracy; of the seeds that all three have."""
    runs = readout.select_runs()
    chosen = (runs["dataset"] == "mnist") & (runs["rho"] == 3.75) & (runs["cnn_method"] == "balanced") & (runs["n"] == 5)
    runs = runs[chosen & runs["rung"].isin(["averaged", "lda", "lstm"])]
    found = runs[runs.groupby("seed")["rung"].transform("nunique") == 3].groupby("rung")[["accuracy", "weights"]].mean()
    weights, accuracy = found["weights"], found["accuracy"]
    added = {rung: int(weights[rung] - weights["averaged"]) for rung in ("lda", "lstm")}
    return added["lda"], int(weights["averaged"]), accuracy["averaged"], accuracy["lda"], added["lstm"], accuracy["lstm"]


def refitted_biases() -> tuple:
    """n-accuracy at n = 80 of the baseline's logits averaged and with refitted biases, on FC, ResNet-18 and CIFAR-100's Conv; then of the
    balanced CNNs."""
    runs = readout.beside_balanced(readout.select_runs()).query("n == 80")
    means = runs.pivot_table(index=intervals.ROW, columns="rung", values="accuracy")
    means = means.loc[[("mnist", "fc", 2.5), ("cifar10", "resnet18", 4.5), ("cifar100", "conv", 2.5)]]
    return (*means[["averaged", "bias"]].to_numpy().ravel(), *means["balanced"])


def lead_with_refitted_biases() -> tuple:
    """Of balanced training over the baseline at n = 80 on the same networks: of averaged logits, and with refitted biases of both, ± half
    its interval."""
    found, told = readout.beside_balanced(readout.select_runs()), []
    for case in (("mnist", "fc", 2.5), ("cifar10", "resnet18", 4.5), ("cifar100", "conv", 2.5)):
        part = plots.select_case(found, case)
        leads = [readout.rung_differences(part, *pair, [80]).iloc[0] for pair in (("balanced", "averaged"), ("balanced_bias", "bias"))]
        told += [leads[0]["mean"], leads[1]["mean"], (leads[1]["high"] - leads[1]["low"]) / 2]
    return tuple(told)


def gain_by_batches() -> tuple:
    """What refitted biases add at n = 80, ± half its interval, on FC and ResNet-18: to CNNs of batches of all classes alike, to others."""
    found, told = readout.beside_balanced(readout.select_runs()), []
    networks = [("mnist", "fc", 2.5), ("cifar10", "resnet18", 4.5)]
    for pair, case in itertools.product([("alike_bias", "alike"), ("bias", "averaged")], networks):
        gain = readout.rung_differences(plots.select_case(found, case), *pair, [80]).iloc[0]
        told += [round(gain["mean"], 1) + 0.0, (gain["high"] - gain["low"]) / 2]  # and not -0.0
    return tuple(told)


def most_by_biases() -> float:
    """The most points that refitted biases add to a baseline at n = 80, in the mean over its seeds."""
    runs = readout.select_runs().query("cnn_method == 'baseline'")
    return readout.rung_differences(runs, "bias", "averaged", [80])["mean"].max()


def loss_by_biases() -> tuple:
    """What refitted biases lose on the balanced Conv at rho 3.5 at n = 40; surely."""
    part = plots.select_case(readout.select_runs().query("cnn_method == 'balanced'"), ("mnist", "conv", 3.5))
    lost = readout.rung_differences(part, "averaged", "bias", [40]).iloc[0]
    assert lost["low"] > 0
    return (lost["mean"],)


def gain_of_biases() -> tuple:
    """Refitted biases over averaged logits: in how many cases they surely gain, of how many, by how much at most in the mean."""
    found = claim_rows_of("bias-averaging")
    return (found["verdict"] == "holds").sum(), len(found), round(found["estimate"].max())


def claim_rows_of(name: str) -> pd.DataFrame:
    (claim,) = (claim for claim in readout.CLAIMS if claim.id == name)
    return claim.rows(readout.select_runs())


def weights_per_mac() -> tuple:
    """How many times as many weights SynFlow keeps per MAC as by itself, on the network with the fewest times and on that with the most."""
    runs = beyond_pruning.select_runs("benchmarks/side_information").query("pruner == 'synflow' and n == 1 and reading == 'baseline'")
    weights = runs.groupby(["budget", "dataset", "model", "rho"])["weights"].mean()
    factors = [weights["macs", *case, macs] / weights["weights", *case, rho] for case, (macs, rho) in beyond_pruning.EQUAL_MACS.items()]
    return round(min(factors)), round(max(factors))


def conv_initialisation() -> tuple:
    """n-accuracy at n = 1 of CIFAR-10's Conv: from He's weights, from the default, and the paper's."""
    runs = section_5_2.select_runs(tables.load_records())
    found = section_5_2_settings.batches_beside_paper(section_5_2_settings.load_settings("benchmarks/settings")[0], runs)
    found = found[(found["dataset"] == "cifar10") & (found["model"] == "conv") & (found["n"] == 1)].set_index("setting")
    return found["mean"]["batches of 64, he"], found["mean"]["batches of 64, pytorch"], found["paper"].iloc[0]


def dense_factors() -> tuple:
    """By FLOPs at every per cent: how many times cheaper a dense network is on CIFAR-100 at least; on CIFAR-10 where it is cheaper, from
    which n-accuracy on that is at n = 1, 5, 25 and 80, and up to which dense ones get at 1 and 5; up to which on CIFAR-100 dense ones get
    at 1 and 5, pruned ones at 25 and 80; what a dense one costs on CIFAR-10 at least,
    how many times cheaper a pruned one is at most, and what either costs at most on MNIST, in the other's cost."""
    found = small_dense.configurations(small_dense.select_runs())
    every = small_dense.equal_accuracy(found, "flops", range(5, 100))
    both = {name: rows for name, rows in every[(every["factor"] > 0) & np.isfinite(every["factor"])].groupby("dataset")}
    dense = every[(every["dataset"] == "cifar10") & (every["factor"] > 1)]
    of_n = dense.groupby("n")["target"].agg(["min", "max", "size"])
    assert (of_n["max"] - of_n["min"] + 1 == of_n["size"]).all()  # from there on at every per cent
    cifar100 = every[every["dataset"] == "cifar100"]
    ends = [cifar100[reached].groupby("n")["target"].max() for reached in (cifar100["factor"] > 0, np.isfinite(cifar100["factor"]))]
    least = found[found["dense"] & (found["dataset"] == "cifar10")]["flops"].min()
    of_mnist = max(both["mnist"]["factor"].max(), 1 / both["mnist"]["factor"].min())
    return (math.floor(both["cifar100"]["factor"].min()), math.floor(dense["factor"].min()), *of_n["min"], *of_n["max"].loc[[1, 5]],
            *ends[0].loc[[1, 5]], *ends[1].loc[[25, 80]], round(least, -2), round(1 / both["cifar10"]["factor"].min()), math.ceil(of_mnist))


@cache
def other_batches() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records and learning curves of balanced training on other batches, those with fewer classes among them."""
    runs, settings = section_5_2.select_runs(tables.load_records()), section_5_2_settings.load_settings("benchmarks/settings")
    return section_5_2_settings.add_fewer_classes(*settings, runs, tables.load_curves())


@cache
def batch_differences() -> pd.DataFrame:
    runs = section_5_2.select_runs(tables.load_records())
    return section_5_2_settings.batch_differences(*other_batches(), section_5_2_training.select_curves(tables.load_curves(), runs), runs)


def behind_on_fifty_classes() -> tuple:
    """Balanced on batches of fifty classes behind the baseline: the last n where significantly at rho = 2; at how many n at 2.5."""
    found = batch_differences().query("other == 'baseline' and when == 'trained to the end' and one == 'λ = 0.5, 50 tuples of 2'")
    significant = found[found["high"] < 0].groupby("rho")["n"].agg(["max", "size"])
    return significant["max"][2.0], WORDS[significant["size"][2.5]], WORDS[found["n"].nunique()]


def ahead_on_every_class() -> tuple:
    """Balanced minus the baseline on CIFAR-100's WideResNet-20 at rho = 2.5 and n = 80."""
    found = section_5_2.compare(section_5_2.select_runs(tables.load_records()), "balanced", "baseline")
    return (found.query("model == 'wideresnet20' and rho == 2.5")["mean"].item(),)


def count_holds(section, claim_id: str, runs: pd.DataFrame) -> tuple:
    """In how many cases a claim of a section holds, and how many there are."""
    (claim,) = (claim for claim in section.CLAIMS if claim.id == claim_id)
    verdicts = claim.rows(runs)["verdict"]
    return (verdicts == "holds").sum(), len(verdicts)


def best_rhos() -> tuple:
    """The least and the largest best rho of an n by the paper's cost, where there is one."""
    found = section_5_1_claims.claim_sweet_spot(section_5_1.select_runs(), paper_alone=False).query("verdict == 'holds'")["estimate"]
    return f"{found.min():g}", f"{found.max():g}"


def lead_of_balanced() -> tuple:
    """On how many networks of Table 1 balanced training is surely ahead at n = 80, of how many; by how many points."""
    found = section_5_2.claim_balanced_large_n(section_5_2.select_runs(tables.load_records()))
    ahead = found.loc[found["verdict"] == "holds", "estimate"]
    return WORDS[len(ahead)], WORDS[len(found)], ahead.min(), ahead.max()


def means_below_zero() -> tuple:
    """How many of the CNN-LSTM's differences from its controls, means over n and three seeds, lie below zero, and of how many."""
    runs = claims.SECTIONS["section_5_3"].select_runs("results")
    found = pd.concat([section_5_3.claim_beats_head(runs, control) for control in ("head_tuple_mean", "head_per_image")])
    found = found[~found["case"].str.startswith("mean of networks") & (found["seeds"] > 2)]
    return (found["high"] < 0).sum(), len(found)


def worth_by_data_set() -> tuple:
    """How many images 25 views are worth: by a pixel, means on MNIST and CIFAR-10; by four, least and most on MNIST, mean on CIFAR-10."""
    found = beyond_dependent.claim_worth(beyond_dependent.select_runs("results")).set_index("case")["estimate"]
    near, far = (found[found.index.str.endswith(shift)].groupby(lambda case: case[:5]) for shift in ("±1 px", "±4 px"))
    return WORDS[round(near.mean()["MNIST"])], near.mean()["CIFAR"], far.min()["MNIST"], far.max()["MNIST"], far.mean()["CIFAR"]


def lda_on_views() -> tuple:
    """By how many points LDA is better than averaging on 25 views, over the cases of MNIST's Conv, at least and at most; and by how many
    it gains more from the other 24."""
    runs = beyond_dependent.select_runs("results")
    found = [claim(runs) for claim in (beyond_dependent.claim_lda, beyond_dependent.claim_lda_adds)]
    gains = [each.loc[each["case"].str.startswith("MNIST, Conv"), "estimate"] for each in found]
    return tuple(end for each in gains for end in (each.min(), each.max()))


def balanced_on_views() -> tuple:
    return tuple(WORDS[count] for count in count_holds(beyond_dependent, "dependent-balanced", beyond_dependent.select_runs("results")))


def cheapest_dense() -> tuple:
    """What the cheapest small dense network costs in FLOPs an image, on MNIST and on CIFAR-10."""
    found = small_dense.configurations(small_dense.select_runs()).query("dense").groupby("dataset")["flops"].min()
    return round(found["mnist"]), round(found["cifar10"])


def gain_of_lda() -> tuple:
    """LDA of logits over their average: in how many cases it surely gains, of how many, by how much at most; its largest cost at n = 1."""
    runs = readout.select_runs()
    found, alone = claim_rows_of("lda-averaging"), runs[(runs["n"] == 1) & runs["rung"].isin(["averaged", "lda"])]
    cnn = ["dataset", "model", "rho", "cnn_method"]
    both = alone.pivot_table(index=[*cnn, "seed"], columns="rung", values="accuracy").dropna()
    cost = (both["averaged"] - both["lda"]).groupby(cnn).mean().max()
    return (found["verdict"] == "holds").sum(), len(found), round(found["estimate"].max()), cost


def worth_of_near_views() -> tuple:
    """How many different images 25 views shifted by up to a pixel are worth, at least and at most."""
    found = beyond_dependent.claim_worth(beyond_dependent.select_runs("results"))
    near = found.loc[found["case"].str.endswith("±1 px"), "estimate"]
    return near.min(), near.max()


def worth_of_views() -> tuple:
    """How many different images 25 views shifted by up to a pixel are worth, mean over all cases."""
    found = beyond_dependent.CLAIMS[1].rows(beyond_dependent.select_runs("results"))
    return (WORDS[round(found.loc[found["case"].str.endswith("±1 px"), "estimate"].mean())],)


def law_example() -> tuple:
    """Weights of the law's example, and at which class the mean logits of class 0 of its baseline are largest."""
    total = sum(p.numel() for name, p in models.build("conv", (1, 28, 28), 10, torch.Generator()).named_parameters() if "bias" not in name)
    means = beyond_law_figures.read_example()["baseline"].mean
    return math.ceil(total / 10 ** law.EXAMPLE["rho"]), int(means[0].argmax())


# ---- what the paper prints


@cache
def paper(table: int) -> pd.DataFrame:
    return pd.read_csv(ROOT / "paper" / f"table_{table}.csv")


def resnet_at_large_n() -> tuple:
    row = paper(1).query("model == 'resnet18' and method == 'baseline'").iloc[0]
    return tuple(round(row[f"n{n}"]) for n in (25, 40, 60, 80)) + (WORDS[round(row["n80"] / 10)],)


def price_of_balanced() -> tuple:
    """On how many networks of Table 1 the baseline is ahead at n = 1, of how many; by how many points at least and at most."""
    by_method = paper(1).pivot(index=["dataset", "model", "rho"], columns="method", values="n1")
    lead = by_method["baseline"] - by_method["balanced"]
    ahead = lead[lead > 0]
    return WORDS[len(ahead)], WORDS[len(lead)], round(ahead.min()), round(ahead.max())


def balanced_cnn_under_lstm() -> tuple:
    """By how many points the CNN-LSTM on the balanced CNN is above the other in Table 2, at least and at most."""
    sizes = ["n2", "n5", "n7", "n15", "n40"]
    heads = paper(2).query("method == 'cnn_lstm'").set_index(["dataset", "cnn_training"])[sizes]
    lead = heads.xs("balanced", level=1) - heads.xs("baseline", level=1)
    return round(lead.min().min()), round(lead.max().max())


def stated_head() -> tuple:
    """Weights of the pruned head of MNIST in Table 2: CNN and head together less the CNN."""
    row = paper(2).query("dataset == 'mnist' and method == 'cnn_lstm'").iloc[0]
    return (row["params_remaining"] - math.ceil(260_384 / 10 ** row["rho"]),)


def steps_of_an_epoch() -> tuple:
    """Batches of an epoch of the baseline and of balanced training: MNIST, whose smallest class has 5,421 images, CIFAR-10, CIFAR-100."""
    cifar = math.ceil(0.9 * 50_000 / 64)
    return math.ceil(0.9 * 60_000 / 64), int(0.9 * 5421) // 8, cifar, 4500 // 8, cifar, 450 // 2


def behind_the_head_alone() -> tuple:
    """How far unpruned CNN-LSTMs are behind the head alone, per image and on the tuple's mean, in the mean of the networks; behind the
    first on one of them, least and most; how many networks, and for the second."""
    found = section_5_3.pool_unpruned(claims.SECTIONS["section_5_3"].select_runs("results")).set_index("control")
    first, second = (found.loc[control] for control in ("head_per_image", "head_tuple_mean"))
    return (-first["mean"], first["high"] - first["mean"], -first["most"], -first["least"], WORDS[first["strata"]], WORDS[second["strata"]],
            *report.format_summary(second.to_frame().T))


def pruned_heads_at_the_limit() -> tuple:
    """The limit of the CNN-LSTMs that are pruned as stated, at which more than nine tenths stopped; on MNIST, CIFAR-10 and CIFAR-100 how
    many points they gained at most in the last 40 epochs, the mean over seeds at one n, and how far they are behind, least and most."""
    runs, panels = section_5_3_runs.select_runs(), section_5_3_runs.stated_panels()
    heads = section_5_3_runs.random_tuples(runs).query("variant == 'lstm_balanced' and head_rho > 0 and dataset != 'tinyimagenet'")
    heads = heads[[case in panels for case in heads[intervals.PANEL].itertuples(index=False, name=None)]].drop_duplicates("run")
    curves, (limit,) = tables.load_curves().set_index(["run", "epoch"]), heads.loc[heads["at_limit"], "epochs"].unique()
    long = heads[heads["epochs"] > 40]
    gained = [100 * (curves.loc[(row.run, row.epochs), f"n_accuracy_{row.train_n:.0f}"]
                     - curves.loc[(row.run, row.epochs - 40), f"n_accuracy_{row.train_n:.0f}"]) for row in long.itertuples()]
    gained = long.assign(gained=gained).groupby(["dataset", "train_n"])["gained"].mean().groupby("dataset").max()
    behind = -section_5_3.lstm_minus_methods(runs, True).query("variant == 'balanced_table_2'").set_index("dataset")["mean"]
    assert heads["at_limit"].mean() > 0.9
    data = ("mnist", "cifar10", "cifar100")
    return int(limit), *gained[list(data)], *(extreme for name in data for extreme in (behind[name].min(), behind[name].max()))


def single_n_with_and_without() -> tuple:
    """At how many single n of three seeds the CNN-LSTM is surely ahead of a head alone, of how many, and at how many behind."""
    found = section_5_3.lstm_minus_controls(claims.SECTIONS["section_5_3"].select_runs("results")).query("n > 0 and seeds > 2")
    ahead = found[found["low"] > 0]
    stated = ahead[(ahead["dataset"] == "cifar10") & (ahead["head_rho"] == 2.5)]
    assert len(stated) == 2 and stated["variant"].str.startswith("head_tuple_mean").all()
    return len(ahead), len(found), (found["high"] < 0).sum()


def few_steps_on_every_class() -> tuple:
    """Steps of an epoch of a head on CIFAR-100 at n = 15 and 40, on a tuple of every class and on the usual batches, in tens; of how many
    runs that had the first kind stopped at the limit, their lowest loss in the last two epochs."""
    runs = tables.select(tables.load_records(), dataset="cifar100", method="cnn_lstm", head_batch_size=0).drop_duplicates("run")
    limited = runs[runs["at_limit"] & (runs["epochs"] - runs["best"] < 2)]
    usual = [round(45_000 / (round(64 / n) * n), -1) for n in (15, 40)]
    return 450 // 15, 450 // 40, *usual, WORDS[len(limited)], WORDS[len(runs)], int(limited["epochs"].iloc[0])


def still_falling() -> tuple:
    """Of the runs of section 5.2 that stopped by themselves, how many had their lowest held-out loss in one of the last three epochs."""
    runs = section_5_2.select_runs(tables.load_records()).drop_duplicates("run").query("not at_limit")
    return (runs["epochs"] - runs["best"] < 3).sum(), len(runs)


def lead_from_hes_weights() -> tuple:
    """By how many points SynFlow is ahead of SNIP on Conv at n = 5 from He's weights, by its own interval, and of how many seeds."""
    found = appendix_c_2.compare_weights(appendix_c_2.add_other_weights(appendix_c_2.select_runs()))
    (row,) = found.query("model == 'conv' and n == 5 and initialisation == 'he'").itertuples()
    assert row.low > 0
    return row.mean, row.high - row.mean, WORDS[row.seeds]


def snip_by_weights() -> tuple:
    """By how much pruned networks are significantly ahead of dense ones of no more weights, at least and at most, all of one kind."""
    found = small_dense.CLAIMS[1].rows(small_dense.select_runs()).query("verdict == 'fails'")
    assert found["case"].str.contains("MNIST, Conv, ρ = 3, SNIP, .* loss, .*learning rate 0.001").all() and set(found["n"]) == {1}
    return WORDS[len(found)], -found["estimate"].max(), -found["estimate"].min()


def ahead_of_nothing() -> tuple:
    """In how many cases SynFlow is ahead of a pruner whose every run collapsed, and of any."""
    found = appendix_c_2.compare_with_synflow(appendix_c_2.select_runs())
    return found.loc[found["verdict"] == "holds", "lost"].sum(), (found["verdict"] == "holds").sum()


def heads_of_tinyimagenet() -> tuple:
    """n-accuracy on Tiny ImageNet's baseline CNNs, of three seeds each: an unpruned CNN-LSTM's at n = 5, then what is printed, both at 40;
    the head alone's at 5 and at 40; and of the first seed at 40 and 5 that of a CNN-LSTM with a pruned head."""
    runs = tables.select(tables.load_records(), dataset="tinyimagenet", model="conv", rho=3.0, protocol="disjoint", cnn_method="baseline")
    runs = runs[runs["train_n"] == runs["n"].where(runs["method"] == "cnn_lstm", 1)]
    found = 100 * runs.set_index(["method", "head_rho", "n", "seed"])["n_accuracy"].sort_index()
    lstm, alone = ({n: list(found[method, 0, n]) for n in (5, 40)} for method in ("cnn_lstm", "head_control"))
    assert all(len(values) == 3 for values in (*lstm.values(), *alone.values()))
    row = {"dataset": "tinyimagenet", "method": "cnn_lstm", "cnn_training": "baseline"}
    printed = tables.select(paper(2), **row).iloc[0][["n5", "n40"]]
    return (*lstm[5], printed["n5"], *lstm[40], printed["n40"], *alone[5], *alone[40], *(found["cnn_lstm", 1, n, 0] for n in (40, 5)))


def heads_on_both_cnns_of_tinyimagenet() -> tuple:
    """The unpruned CNN-LSTM on Tiny ImageNet's balanced CNN minus the one on the baseline's at n = 5 and 40, three seeds, and half the
    intervals, which at every n reach over 0."""
    found = section_5_3.lstm_by_cnn(section_5_3_runs.select_runs()).query("dataset == 'tinyimagenet' and head_rho == 0").set_index("n")
    assert len(found) == 5 and (found["seeds"] == 3).all() and (found["low"] < 0).all() and (found["high"] > 0).all()
    mean, half = found["mean"], found["high"] - found["mean"]
    return -mean[5], half[5], mean[40], half[40]


@cache
def readouts_of_tinyimagenet() -> pd.DataFrame:
    """n-accuracy at n = 40 on Tiny ImageNet's three baseline CNNs: a row a rung, a column a seed."""
    found = tables.select(readout.select_runs(), dataset="tinyimagenet", model="conv", n=40, cnn_method="baseline")
    return found.pivot(index="rung", columns="seed", values="accuracy")[[0, 1, 2]]


def rungs_of_tinyimagenet() -> tuple:
    """Averaged logits, refitted biases, LDA, the head alone: each by seed."""
    return tuple(readouts_of_tinyimagenet().loc[["averaged", "bias", "lda", "head"]].to_numpy().ravel())


def averaging_of_tinyimagenet() -> tuple:
    """Averaging over Table 2's CNN for it on Tiny ImageNet at n = 5 and 40: printed, and ours; its epochs; and how far the printed
    CNN-LSTM is above the printed averaging at n = 40. Ours, its head pruned as stated, is above ours nowhere."""
    row = {"dataset": "tinyimagenet", "model": "conv", "method": "balanced", "rho": 2.0}
    printed = tables.select(section_5_3_runs.printed_table_2(), **row).set_index("n")["paper"]
    ours = tables.select(tables.load_records(), **row, protocol="disjoint", seed=0).set_index("n")
    heads = tables.select(section_5_3_table_2.beside_printed(claims.SECTIONS["section_5_3"].select_runs("results")),
                          dataset="tinyimagenet", head_rho=1)
    stated = heads[heads["variant"].isin(["lstm_balanced", "lstm_baseline"])].dropna(subset="mean")
    assert len(stated) == 10 and (stated["mean"].to_numpy() <= 100 * ours["n_accuracy"][stated["n"]].to_numpy()).all()
    lead = stated.query("variant == 'lstm_balanced' and n == 40")["paper"].item() - printed[40]
    return (*printed[[5, 40]], *(100 * ours["n_accuracy"][[5, 40]]), int(ours["epochs"].iloc[0]), lead)


def trainings_of_tinyimagenet() -> tuple:
    """n-accuracy at n = 40 on Tiny ImageNet's Conv by seed: the baseline, and its epochs; freeze-and-retrain; the baseline with refitted
    biases; and balanced training."""
    found = tables.select(section_5_2.select_runs(tables.load_records()), dataset="tinyimagenet", model="conv", n=40, protocol="random")
    found = found[found["rho"] == 3].set_index(["method", "seed"]).sort_index()
    assert list(found.loc["baseline", "at_limit"]) == [True, False, False] and len(found.loc["balanced"]) == 3
    baseline, retrained, balanced = (100 * found.loc[method, "n_accuracy"] for method in ("baseline", "freeze_retrain", "balanced"))
    return *baseline, *found.loc["baseline", "epochs"].astype(int), *retrained, *readouts_of_tinyimagenet().loc["bias"], *balanced


def learned_nothing_per_mac() -> tuple:
    """How many of MNIST's networks that SynFlow pruned per MAC learned nothing, and of how many; balanced training has the same ones."""
    runs = tables.select(beyond_pruning.select_runs(), dataset="mnist", budget="macs", pruner="synflow", n=5)
    trained = [set(part.loc[part["idle"], "seed"]) for reading, part in runs.groupby("reading") if reading != "lda"]
    assert len(trained) == 2 and trained[0] == trained[1]
    return WORDS[len(trained[0])], WORDS[runs["seed"].nunique()]


def ahead_of_dense() -> tuple:
    """By how much pruned networks are ahead, surely by a point, of the best dense one that costs no more FLOPs; of how many."""
    found = small_dense.CLAIMS[0].rows(small_dense.select_runs())
    ahead = found[found["high"] < -small_dense.TOLERANCE].sort_values("estimate")
    assert ahead["case"].tolist() == ["CIFAR-10, Conv, ρ = 1", "CIFAR-100, ResNet-18, ρ = 2"] and (ahead["n"] == 1).all()
    return tuple(value for row in ahead.itertuples() for value in (-row.estimate, row.high - row.estimate)) + (len(found),)


def dense_by_weights() -> tuple:
    """In how many comparisons by weights a small dense network is surely no worse, of how many, and in how many the pruned one is ahead;
    in how many of these the dense one has less than half its weights."""
    found = small_dense.compare_with_front(small_dense.select_runs(), "weights", tuple(small_dense.DENSE_MODELS)).dropna(subset="estimate")
    ahead = found[found["high"] < -small_dense.TOLERANCE]
    return (found["verdict"] == "holds").sum(), len(found), len(ahead), (ahead["dense_cost"] < ahead["pruned_cost"] / 2).sum()


def weights_on_new_data() -> tuple:
    """Where a pruned network is ahead at equal weights on new data: its weights, the dense one's, and those of a better one."""
    found = small_dense.compare_with_front(beyond_new_data.select_runs()["small_dense"], "weights", tuple(small_dense.DENSE_MODELS))
    ((pruned, dense),) = set(zip(*(found.query("verdict == 'fails'")[f"{kind}_cost"] for kind in ("pruned", "dense"))))
    return int(pruned), int(dense), 160  # `test_verdicts` has the last


def lead_of_snip() -> tuple:
    """SNIP minus SynFlow at equal weights on MNIST's Conv at n = 1, its interval and pairs; its MACs are a third, ResNet-18's all lost."""
    runs = beyond_pruning.select_runs()
    [row] = beyond_pruning.synflow_minus_snip(runs).query("dataset == 'mnist' and n == 1").itertuples()
    assert round(beyond_pruning.tabulate_usual(runs).loc["MNIST, Conv, ρ = 3.5", "MACs, times SNIP's"]) == 3
    assert tables.select(runs, model="resnet18", pruner="snip", budget="weights", rho=4.5)["collapsed"].all()
    return -row.mean, row.high - row.mean, WORDS[row.seeds]


def best_of_single_images() -> tuple:
    found = choose.load_runs("results").query("n == 1").groupby(["dataset", "configuration"])["n_accuracy"].mean().groupby("dataset").max()
    return 100 * found["cifar10"], 100 * found["cifar100"]


def runs_of_a_gpu() -> tuple:
    """How many runs of CIFAR-100's WideResNet-20, by what it was trained on, a GPU made: as section 5.2 says."""
    files = [*(ROOT / "benchmarks/settings/cifar100/wideresnet20").glob("*.json"), *(ROOT / "results/cifar100/wideresnet20").glob("*.json")]
    records = [record for file in files if (record := json.loads(file.read_text()))["params"]["method"] in ("baseline", "balanced")]
    found = Counter()
    for record in records:
        params = parameters.effective(parameters.of_record(record["params"]))
        trained = params["method"], params["rho"], params.get("tuples_per_batch")
        found[trained] += record["provenance"]["device"] != "cpu"
    assert +found == {("balanced", 2, 50): 3, ("balanced", 2.5, 50): 1, ("balanced", 2.5, 10): 3, ("baseline", 2.5, None): 1}
    return [WORDS[found.total()].capitalize()]


def errors_beyond_five() -> tuple:
    """What the law fills in at n = 25 from n up to 5: mean absolute error on three data sets, and what nine tenths of runs are within."""
    found = [planner.errors_of_the_law("results", dataset, 5).set_index("n").loc[25] for dataset in ("mnist", "cifar10", "cifar100")]
    return tuple(row[name] for name in ("mean absolute error", "nine tenths within") for row in found)


SECTIONS = "notebooks/sections"
CHECKED = [
    ("README.md", "from ρ = 2 to 3 the cost n/ρ falls by a third, the FLOPs (Conv, MNIST) by {} tenths", flops_saved),
    ("README.md", "below {:g} %) on average to {:.1f} points on MNIST, {:.1f} on CIFAR-10,", lambda: law_below()[2:5]),
    ("README.md", "Refitting the last layer's biases adds no weight and up to {:.0f} points at n = 80.", lambda: [most_by_biases()]),
    ("README.md", "in closed form, of {0} weights, it lifts MNIST's balanced CNN of {1} weights from {2:.1f} to {3:.1f} % at n = 5; "
     "the LSTM's head reaches {5:.1f}", closed_form_readout),
    ("README.md", "Its head unpruned ({4:,}+ weights),", closed_form_readout),
    ("README.md", "25 views of one, shifted by up to a pixel, are worth about {}", worth_of_views),
    ("README.md", "By n/ρ, yes, in {} of its {} cases (with ours, {} of {}); Tiny ImageNet's, which learned too little, are open.",
     sweet_spots_by_n_over_rho),
    ("notebooks/overview.ipynb", "On {} of {} networks it does;", lambda: lead_of_balanced()[:2]),
    ("notebooks/overview.ipynb", "a tuple of 10 at ρ = {1} is named more often than one image at ρ = 2 ({0:.0f} %), by {2} ± {3} points, "
     "for {4:.0f} % of its FLOPs.", tuples_for_one_image),
    (f"{SECTIONS}/section_5_1.ipynb", "a tuple of 10 at $\\rho = {1}$ is named more often than one image at $\\rho = 2$ ({0:.1f} %), by "
     "{2} ± {3} points, for {4:.0f} % of its FLOPs.", tuples_for_one_image),
    (f"{SECTIONS}/section_5_1.ipynb", "at $\\rho = 4.5$ CIFAR-10's Conv costs {:.0f} an image. With 100 more an image the largest "
     "$\\rho$ is still the best in the mean on every network at every $n$, and surely so in as many cases ({}); with 300 more in the mean "
     "at {} of {} $n$.", flops_left_out),
    ("docs/choices.md", "Among {} cases, Table 2's, Holm asks of the first that its difference be {:.0f} times its own half-interval at "
     "three seeds ({:.1f} times at five)", price_of_holm),
    (f"{SECTIONS}/section_5_1.ipynb", "from the smallest to the largest $\\rho$ FLOPs fall by {:,} to {:,} times the factor by which "
     "$n / \\rho$ does.", flops_per_paper_cost),
    (f"{SECTIONS}/section_5_1.ipynb", "half a bit ({:.2f} instead of {:.2f}) for {} times the FLOPs.", back_to_the_sweet_spot),
    (f"{SECTIONS}/section_5_3.ipynb", "on MNIST and CIFAR-10, significantly but for $n = {}$ on {}.", relative_information_at_table_2),
    (f"{SECTIONS}/section_5_3.ipynb", "On Tiny ImageNet, where that CNN has one seed and names more, too, it is at every $n$ of the "
     "table ahead of averaging over its own CNN, by {:.1f} ± {:.1f} points at $n = 2$ to {:.1f} ± {:.1f} at 40, but behind the same head, "
     "pruned as far, that reads single images alone, by {:.1f} ± {:.1f} to {:.1f} ± {:.1f} (three seeds, their own intervals).",
     lambda: pruned_head_of_tinyimagenet()[:8]),
    (f"{SECTIONS}/section_5_3.ipynb", "is ahead of averaging over the baseline at $n = 15$ and 40, by {:.0f} ± {:.0f} and {:.0f} ± {:.0f} "
     "points (three seeds, their own intervals).", lambda: pruned_head_of_tinyimagenet()[8:]),
    (f"{SECTIONS}/section_5_3.ipynb", "stopped at the limit of {} epochs. In their last 40 they gained at most {:.1f} points on MNIST, "
     "{:.1f} on CIFAR-10 and {:.1f} on CIFAR-100 (means over seeds at one $n$), where they are behind averaging over Table 2's CNN by "
     "{:.1f} to {:.1f}, {:.1f} to {:.1f} and {:.1f} to {:.1f}.", pruned_heads_at_the_limit),
    (f"{SECTIONS}/section_5_3.ipynb", "Graphs have {} epochs and one seed there, and all but one were still improving. At $n = 2$, 5 and "
     "15 joined embeddings name {:.1f}, {:.1f} and {:.1f} % (guessing: {:.1f}), with a classifier that is not pruned {:.1f}, {:.1f} and "
     "{:.1f}; the graph of neurons names {:.1f}, {:.1f} and {:.1f}, averaging over the balanced CNN of that seed {:.1f}, {:.1f} and "
     "{:.1f}.", graphs_of_tinyimagenet),
    (f"{SECTIONS}/section_5_3.ipynb", "On MNIST's Conv at Table 1's $\\rho$, 3.25 and 3.5, where SynFlow's balanced networks are ahead of "
     "its baselines at $n = 80$, under SNIP nobody can tell ({:.1f} ± {:.1f} and {:.1f} ± {:.1f} points).", balanced_under_snip),
    (f"{SECTIONS}/section_5_2.ipynb", '"highly outperforms": by {:.1f} to {:.1f} points.', printed_leads),
    ("README.md", "with {} to {} times the weights", weights_per_mac),
    ("README.md", "in the mean of {4} networks behind the same head on each image alone, by {0:.1f} ± {1:.1f} points if that learned "
     "from single images; if from tuples, no difference can be told ({6}).", behind_the_head_alone),
    ("README.md", "At n = 80 on {} of Table 1's {} networks (95 % intervals, *uncorrected*; *corrected* for their number, on {}).",
     balanced_is_ahead),
    ("docs/performance.md", "{} of Conv's {:,} weights are left", example_network),
    ("notebooks/overview.ipynb", "The network has {} weights left of {:,}", example_network),
    ("notebooks/overview.ipynb", "From ρ = 2 to 3 the cost n/ρ falls by a third, the FLOPs (Conv, MNIST) by {} tenths", flops_saved),
    ("notebooks/overview.ipynb", "But below {:,} FLOPs an image on MNIST and {:,} on CIFAR-10 all are pruned", cheapest_dense),
    ("notebooks/overview.ipynb", "at n = 5 and 40 that gains in {} of {} cases, by the interval of each, in the mean up to {} points, "
     "and loses in none.", gain_of_biases),
    ("notebooks/overview.ipynb", "it gains in {} of {} cases, by the interval of each, in the mean up to {} points, and loses in none; "
     "at n = 1 it costs up to {:.1f} points in the mean.", gain_of_lda),
    ("notebooks/overview.ipynb", "where n-accuracy is below {:g} %, in the mean to {:.1f} points on MNIST and {:.1f} on CIFAR-10,",
     lambda: law_below()[2:5]),
    ("notebooks/overview.ipynb", "for fewer MACs in the mean, with {} to {} times the weights,", weights_per_mac),
    ("notebooks/overview.ipynb", "but {} of {} networks on MNIST learned nothing.", learned_nothing_per_mac),
    ("notebooks/overview.ipynb", "in the mean of {4} networks the LSTM is behind by {0:.1f} ± {1:.1f} points, significantly.",
     behind_the_head_alone),
    ("notebooks/overview.ipynb", "In two of {4} comparisons (network and n) the pruned one is ahead, by more than a point and its own "
     "interval, of the best of these that costs no more: at n = 1 on CIFAR-10 by {0:.1f} ± {1:.1f} points, on CIFAR-100 by {2:.1f} ± "
     "{3:.1f};", ahead_of_dense),
    ("notebooks/overview.ipynb", "in {} of {} comparisons; the pruned one is ahead in {} (own intervals), in {} of them of a dense "
     "one with less than half its weights", dense_by_weights),
    (f"{SECTIONS}/beyond_small_dense.ipynb", "in {3} of the {2} cases in which the pruned one is ahead by more than a point (own "
     "intervals) it has less than half of them", dense_by_weights),
    ("notebooks/overview.ipynb", "on MNIST's Conv SNIP is, for a third of the FLOPs, at ρ = 3.5 by {:.1f} ± {:.1f} points at n = 1 "
     "({} seeds,", lead_of_snip),
    ("notebooks/overview.ipynb", "The best of them names {:.0f} % of CIFAR-10's single images and {:.0f} % of CIFAR-100's.",
     best_of_single_images),
    ("docs/data.md", "it was off at n = 25 by {:.1f} points on MNIST, {:.1f} on CIFAR-10 and {:.1f} on CIFAR-100 in the mean, for one "
     "network in ten by more than {:.1f}, {:.1f} and {:.1f};", errors_beyond_five),
    ("notebooks/overview.ipynb", "By up to four pixels they are worth {4:.1f} on CIFAR-10 and {2:.0f} to {3:.0f} on MNIST,",
     worth_by_data_set),
    ("notebooks/overview.ipynb", "25 views shifted by up to a pixel are worth {:.1f} to {:.1f} different images.", worth_of_near_views),
    (f"{SECTIONS}/section_5_2.ipynb", "{} of these runs are a GPU's (on fifty classes all at $\\rho = 2$ and one at 2.5, on ten all at "
     "2.5, one baseline at 2.5)", runs_of_a_gpu),
    (f"{SECTIONS}/section_5_2.ipynb", "networks of He's weights name {:.1f} %, of the default {:.1f}, the paper's {:.1f};",
     conv_initialisation),
    (f"{SECTIONS}/beyond_pruning.ipynb", "though {} of {} on MNIST learned nothing, by either training.", learned_nothing_per_mac),
    (f"{SECTIONS}/beyond_small_dense.ipynb", "Conv at $\\rho = 1$ on CIFAR-10 by {:.1f} ± {:.1f}, ResNet-18 at $\\rho = 2$ on CIFAR-100 by "
     "{:.1f} ± {:.1f}.", ahead_of_dense),
    (f"{SECTIONS}/section_5_3.ipynb", "names {:.1f}, {:.1f} and {:.1f} % (printed: {:g}), for $n = 40$ {:.1f}, {:.1f} and {:.1f} ({:g}), "
     "the head alone, on single images, {:.1f}, {:.1f}, {:.1f} and {:.1f}, {:.1f}, {:.1f}. With the first seed a CNN-LSTM whose head is "
     "pruned to $\\rho = 1$, as stated, is near at $n = 40$ alone ({:.1f}), and far at 5 ({:.1f}).", heads_of_tinyimagenet),
    (f"{SECTIONS}/section_5_3.ipynb", "is far less than ours at large $n$: {:g} and {:g} % at $n = 5$ and 40 against {:.1f} and {:.1f} "
     "(one seed, {} epochs). So the printed lead of the CNN-LSTM, {:.0f} points at $n = 40$, is not found there: with its head pruned as "
     "stated ours names no more than that averaging.", averaging_of_tinyimagenet),
    (f"{SECTIONS}/section_5_3.ipynb", "Where that is trained on the same tuples no difference can be told: the LSTM minus it is {6} points "
     "in the mean of {5} networks. Trained on single images it is ahead, by {0:.1f} ± {1:.1f} points in the mean of {4} ({2:.1f} to "
     "{3:.1f} by network),", behind_the_head_alone),
    (f"{SECTIONS}/section_5_3.ipynb", "by its own interval in {} of {} comparisons of three seeds or more, and behind in {};",
     single_n_with_and_without),
    (f"{SECTIONS}/section_5_3.ipynb", "On CIFAR-100 an epoch of these has {} steps at $n = 15$ and {} at $n = 40$, the usual one about "
     "{:.0f} and {:.0f}, and {} of the {} runs stopped at their limit of {} epochs,", few_steps_on_every_class),
    (f"{SECTIONS}/section_5_2.ipynb", "Most that did ({} of {}) had their lowest loss in one of the last three:", still_falling),
    (f"{SECTIONS}/appendix_c_2.ipynb", "at $n = 5$ SynFlow is, on Conv by {:.0f} ± {:.0f} points ({} seeds, own interval;",
     lead_from_hes_weights),
    (f"{SECTIONS}/beyond_small_dense.ipynb", "By weights {} are significantly ahead among all: MNIST's Conv at $\\rho = 3$, pruned by "
     "SNIP's scores of tuples, by {:.1f} to {:.1f} points at $n = 1$.", snip_by_weights),
    (f"{SECTIONS}/beyond_small_dense.ipynb", "in {3} of the {2} cases in which the pruned one is ahead by more than a point",
     dense_by_weights),
    (f"{SECTIONS}/appendix_c_2.ipynb", "In {} of the {} cases in which SynFlow is ahead the other lost every path in every run.",
     ahead_of_nothing),
    (f"{SECTIONS}/appendix_c_2.ipynb", "but for SNIP on FC at $\\rho = 1.5$ ($n = 1$; $p = {:.2f}$ among all cases)",
     lambda: [pd.to_numeric(appendix_c_2.list_worse(appendix_c_2.select_runs()).query("verdict == 'fails'")["p (Holm)"]).item()]),
    (f"{SECTIONS}/beyond_pruning.ipynb", "But it keeps {} to {} times as many weights", weights_per_mac),
    (f"{SECTIONS}/beyond_small_dense.ipynb", "is at least {} times cheaper than a pruned one as accurate on CIFAR-100 (ResNet-18, and Conv "
     "and WideResNet-20 at a $\\rho$ or two). On CIFAR-10 it is "
     "at least {} times cheaper from an n-accuracy on that rises with $n$: {} % at $n = 1$, {} % at 5, {} % at 25, {} % at 80; above {} % "
     "at $n = 1$ and {} % at 5 only pruned ones get there. On CIFAR-100 only pruned ones get above {} % at $n = 1$ and {} % at 5, "
     "only dense ones above {} % at 25 and {} % at 80. No dense one here costs less than pooling, about {:,.0f} FLOPs an image on "
     "CIFAR-10; pruned ones do, and where these suffice they are up to {} times cheaper. On MNIST neither costs "
     "more than {} times the other.", dense_factors),
    (f"{SECTIONS}/appendix_c_2.ipynb", "on FC at $\\rho = 2$ {:.0f} % of SNIP's FLOPs, on Conv at $\\rho = 2$ {:.0f} % of random "
     "pruning's, of SynFlow's up to {} %", flops_of_constants),
    (f"{SECTIONS}/beyond_small_dense.ipynb", "but it then also costs {} (FC) to {} (CIFAR-10's Conv) times fewer FLOPs:", shuffled_flops),
    (f"{SECTIONS}/beyond_small_dense.ipynb", "For fewer FLOPs MNIST's shuffled Conv at $\\rho = 3$ is ahead of SynFlow's at {:g};",
     shuffled_ahead_of),
    (f"{SECTIONS}/beyond_law.ipynb", "in the mean to {:.1f} points on MNIST and {:.1f} on CIFAR-10; where n-accuracy is below {:g} %, to "
     "{:.1f} and {:.1f} ({:.0f} % of MNIST's measurements are not, and there 100 % is nearly as good a guess).", law_below),
    (f"{SECTIONS}/beyond_law.ipynb", "makes more of them win, surely on {} of {} networks.",
     lambda: count_holds(beyond_law, "balanced-limit", beyond_law.select_runs())),
    (f"{SECTIONS}/beyond_law.ipynb", "goes {}, {}, {}, {} % from n = 25 to n = 80 (Table 1), as if {} classes of ten won",
     resnet_at_large_n),
    (f"{SECTIONS}/beyond_law.ipynb", "One CNN of {} weights", lambda: law_example()[:1]),
    (f"{SECTIONS}/beyond_law.ipynb", '"0→{0}" says that the mean logits of class 0 are largest at {0}', lambda: law_example()[1:]),
    (f"{SECTIONS}/beyond_readout.ipynb", "At $n = 80$ refitted biases lift MNIST's FC from {:.1f} to {:.1f} %, CIFAR-10's ResNet-18 from "
     "{:.1f} to {:.1f} and CIFAR-100's Conv from {:.1f} to {:.1f}; balanced training reaches {:.1f}, {:.1f} and {:.1f}.", refitted_biases),
    (f"{SECTIONS}/beyond_readout.ipynb", "its lead falls from {:.1f} to {:.1f} ± {:.1f} points, from {:.1f} to {:.1f} ± {:.1f} and from "
     "{:.1f} to {:.1f} ± {:.1f}:", lead_with_refitted_biases),
    (f"{SECTIONS}/beyond_readout.ipynb", "refitting adds {:.1f} ± {:.1f} points on FC and {:.1f} ± {:.1f} on ResNet-18, on the baseline's "
     "{:.1f} ± {:.1f} and {:.1f} ± {:.1f}.", gain_by_batches),
    (f"{SECTIONS}/beyond_readout.ipynb", "on that Conv they lose {:.1f} points at $n = 40$.", loss_by_biases),
    (f"{SECTIONS}/beyond_readout.ipynb", "from {:.1f}, {:.1f} and {:.1f} % to {:.1f}, {:.1f} and {:.1f}, LDA to {:.1f}, {:.1f} "
     "and {:.1f}, and the unpruned head that reads single images to {:.1f}, {:.1f} and {:.1f}.", rungs_of_tinyimagenet),
    (f"{SECTIONS}/beyond_readout.ipynb", "an LSTM head of {4:,} parameters", closed_form_readout),
    (f"{SECTIONS}/beyond_readout.ipynb", "({1} weights), trained by the balanced method", closed_form_readout),
    (f"{SECTIONS}/beyond_dependent.ipynb", "25 views shifted by up to a pixel are worth about {} different images on MNIST and {:.1f} on "
     "CIFAR-10; by up to four pixels {:.0f} to {:.0f} and {:.1f}.", worth_by_data_set),
    (f"{SECTIONS}/beyond_dependent.ipynb", "LDA still helps on MNIST's Conv, by {:.0f} to {:.0f} points, but it does much of that on one "
     "view, at shifts of up to a pixel most of it: to what the other 24 views gain it adds {:.0f} to {:.0f}.", lda_on_views),
    (f"{SECTIONS}/beyond_new_data.ipynb", "By weights Conv at ρ = 3.75 with LDA, {} weights, is ahead of the best dense one with no more, "
     "which has {}; with {} a dense one is ahead of it, too", weights_on_new_data),
    (f"{SECTIONS}/beyond_dependent.ipynb", "Balanced training gains for sure in {} of {} cases,", balanced_on_views),
    (f"{SECTIONS}/section_5_1.ipynb", "almost every $n$ of these and of MNIST's networks has a best $\\rho$, of {} to {}.", best_rhos),
    (f"{SECTIONS}/section_5_2.ipynb", "At $n = 40$ three baselines name {:.1f}, {:.1f} and {:.1f} %: the first used all of its {} epochs, "
     "the others stopped by themselves, after {} and {}. Freeze-and-retrain brings them to {:.1f}, {:.1f} and {:.1f}, refitting the last "
     "layer's biases alone to {:.1f}, {:.1f} and {:.1f} ([readout](beyond_readout.ipynb)); balanced training names {:.1f}, {:.1f} and "
     "{:.1f}.", trainings_of_tinyimagenet),
    (f"{SECTIONS}/section_5_2.ipynb", "ahead of the baseline on {} of Table 1's {} networks, by {:.2f} to {:.0f} points,",
     lead_of_balanced),
    (f"{SECTIONS}/section_5_2.ipynb", "of MNIST {} steps of 64 images against {} of 80, of CIFAR-10 {} against {}; "
     "at equal epochs the baseline takes more steps. On CIFAR-100 it is {} against {} of 200 images",
     steps_of_an_epoch),
    (f"{SECTIONS}/section_5_2.ipynb", "significant at $n$ up to {} at $\\rho = 2$, and at {} of {} $n$ at 2.5",
     behind_on_fifty_classes),
    (f"{SECTIONS}/section_5_2.ipynb", "at $\\rho = 2.5$ they are {:.0f} points ahead of it, on three times its images",
     ahead_on_every_class),
    (f"{SECTIONS}/section_5_2.ipynb", "on {} of {} networks, by {} to {} points", price_of_balanced),
    (f"{SECTIONS}/section_5_2.ipynb", "pay for large $n$ with {2} to {3} points at $n = 1$", price_of_balanced),
    (f"{SECTIONS}/section_5_3.ipynb", "and {} of {} means of three seeds or more lie below zero by their own intervals.", means_below_zero),
    (f"{SECTIONS}/section_5_3.ipynb", "is {} to {} points above the one on the baseline CNN", balanced_cnn_under_lstm),
    (f"{SECTIONS}/section_5_3.ipynb", "not pruned, nobody can tell: it is {:.0f} ± {:.0f} points below at $n = 5$ and {:.0f} ± {:.0f} "
     "above at 40 (three seeds).", heads_on_both_cnns_of_tinyimagenet),
    (f"{SECTIONS}/section_5_3.ipynb", "the stated {0} weights: an unpruned one is a few points off, one with {0} nowhere near",
     stated_head),
]


@cache
def values(measured: Callable) -> tuple:
    """What a function of CHECKED measures, once."""
    return tuple(measured())


@pytest.mark.parametrize("document, sentence, measured", CHECKED, ids=[f"{document}: {sentence[:40]}" for document, sentence, _ in CHECKED])
def test_a_number_in_prose_is_what_was_measured(document, sentence, measured):
    assert sentence.format(*values(measured)) in prose(document)


def test_the_table_of_studies_says_how_many_runs_there_are_and_how_long_they_took():
    row = r"^\| `(\w+)` \|[^|]*\| (\d+)[^|]*\| ([\d.]*)[^|]*?(without \w+ runs of a GPU)? \|"
    rows = re.findall(row, (ROOT / "docs" / "studies.md").read_text(), re.MULTILINE)
    told = {name: (int(runs), hours, of_a_gpu) for name, runs, hours, of_a_gpu in rows}
    assert set(told) == {file.stem for file in (ROOT / "params").glob("*.yaml")}
    assert {name: runs for name, (runs, *_) in told.items()} == {name: len(studies.run_names(name)) for name in told}
    taken = re.findall(r"^\| `(\w+)` \| \d+ of \d+ \| (\d+) \| ([\d.]+)", (ROOT / "benchmarks" / "times.md").read_text(), re.MULTILINE)
    assert len(taken) > 8
    for name, of_a_gpu, hours in taken:
        words = WORDS.get(int(of_a_gpu), of_a_gpu)
        assert float(told[name][1]) == pytest.approx(float(hours) / 2, abs=0.06), name
        assert told[name][2] == (f"without {words} runs of a GPU" if int(of_a_gpu) else ""), name


# ---- what is no result: what was chosen, what holds by definition, what the machine is told

# What has a number and is a name, a place in the paper, a setting or a formula, wherever it stands.
NAMES = re.compile(r"""
    `{3}.*?`{3} | `[^`]*` | \]\([^)]*\) | \$\$.*?\$\$                                    # code, links, formulas
    | (?:n|\$n\$|ρ\*?|\$\\rho\$|λ|\$\\lambda\$|head\ ρ)\ [=≥]\ [\d./]+(?:(?:,|\ and|,\ and|\ or|\ to)\ [\d./]+)*  # settings
    | \$[^$]*\$(?:(?:\ and|\ or|\ to)\ [\d.]+)?
    | (?:[Tt]able|[Ff]igure|[Ss]ection|[Aa]ppendix|[Aa]ppendix\ [A-E])s?\ [A-E\d][\d.]*(?:(?:,|\ and|\ to|\ or)\ [A-E]?\d[\d.]*)*
    | CIFAR-100? | (?:Wide)?ResNet-\d+ | 95\ % | Python\ 3\.11 | bfloat16 | float32 | md5 | sha256 | MIT
""", re.VERBOSE | re.DOTALL)
NO_RESULTS = {
    "README.md": ["SNIP (100 rounds)", "(Debian: python3-venv)", "downloads 5 GB", "10^ρ times fewer weights"],
    "docs/choices.md": [
        "GraSP at temperature 200", "those that compare methods (8, 9, 21, 22)", "calls it \"5-layer\"",
        "a learning rate of 10⁻⁴", "⌈total / 10^ρ⌉", "exact in all 19 rows", "in 100 rounds",
        "for 100 iterations", "64 images",
        "by 0.1 % for 10 epochs", "160 epochs on MNIST and FashionMNIST, 60 elsewhere, 20 for Tiny ImageNet's WideResNet-20 at ρ ≤ 3, 12 "
        "for its balanced Conv at ρ = 2 and its graphs, 160 for LSTM heads, 20 or 40 for set heads, 40 for trained readouts",
        "from 1 or 2 in steps", "its 10,000 validation images",
        "balanced pairs on CIFAR-100 have 190",
        "as many steps as the baseline's 60",
        "100 tuples a class", "512 pooled features", "pooled to 2×2", "FLOPs are 2 MACs",
    ],
    "docs/data.md": [
        "1,797 handwritten digits of 8×8 pixels", "70,000 images of 28×28 pixels", "60,000 images of 32×32 pixels, in 10 or 100 classes",
        "110,000 images of 64×64 pixels in 200 classes", "248 MB", "**1. Sort", "**2. Train", "**3. Sweep", "**4. Look", "**5. Choose",
        "pixels a side, 32 unless",
        "64×64 pixels has four times", "200 real digits", "20 images a class give n up to 5",
        "from n up to 5 alone", "3 KB each at 32 pixels, 12 at 64",
        "10,000 images of 64×64 pixels take 3 to 6 seconds on two cores, and 0.1 once",  # a timing (benchmarks/decoding.py)
        "more than 8 bits (what counts as colour is read as 8), images of more than 67 million pixels",
        "or of 16 bits with transparency",
    ],
    "docs/extending.md": ["uint8 pixels [N, C, H, W], int64 labels [N]"],
    "docs/performance.md": ["10^3.5"],
    "docs/predicting.md": [
        "255, but 16 of digits",
        "uint8 as the data set", "from 0 (black) to 1 (white)", "(28×28, 32×32)", "more than 67 million pixels",
        "within 0.2 points where", "(opset 17)", "uint8 [n, C, H, W]", "[1, l]", "to 10⁻⁵", "to 10⁻⁴",  # bounds that tests check
    ],
    "docs/running.md": [
        "0.5 to 1 GB on MNIST, 1 to 2 on CIFAR, 3 to 4 on Tiny ImageNet", "CUDA's libraries, 4 GB", "(2.11 or later)", "built for CUDA 13",
        "finds 66 of 66 runs done", "4 GB (MNIST, digits) or 8", "waits (0.3 GB)",
    ],
    "docs/security.md": ["127.0.0.1", "67 million pixels"],
    "notebooks/overview.ipynb": [
        "10<sup>ρ</sup>", "IG·ρ is 0 at ρ = 0", "3.32 bits", "with 90 % wanted", "any n up to 80", "4 × 4 pixels", "\"pool 4\" means",
        "25 views shifted", "of 28 or 32 pixels", "20 epochs; at n = 25", "here in 100 rounds",
    ],
    "notebooks/planner.ipynb": ["looks at $n$ up to 5 alone", ", from n up to 5"],
    "notebooks/sections/appendix_a_3.ipynb": ["100 a class", "above 98 %"],
    "notebooks/sections/appendix_c_2.ipynb": [
        "for 100 iterations", "in 100 rounds", "the one of 100 rounds", "at $\\rho = 2.5$, 3, 3.5 and 4 (at 3.5 with ten seeds",
        "and SNIP's on Conv at 3.5",
        "come out 0.1 away",
        "more than 2.5 %",
    ],
    "notebooks/sections/beyond_dependent.ipynb": [
        "1,000 test images, 40 views each", "pruned to 1,718 parameters on MNIST", "to 559 on",  # as ρ of the head says
    ],
    "notebooks/sections/beyond_law.ipynb": [
        "1,000 of each of ten classes, 200 of each of a hundred", "of tuples of 200", "fails at n = 1 and 2",
        "200 tuples of a class, at 1 %", "predict n = 1 and 2 much better", "(50 on CIFAR-100)",
    ],
    "notebooks/sections/beyond_new_data.ipynb": ["28 × 28 grey pixels", "any n up to 80"],
    "notebooks/sections/beyond_pruning.ipynb": [
        "an n (1, 5, 25)", "in 100 rounds", "in 20 epochs at a learning rate of 10⁻³",
    ],
    "notebooks/sections/beyond_readout.ipynb": [
        "in the tables by 5.", "the head trained for 5 is used",
        "with probability 1", "it is 0 for", "close to 100 %", "512 features", "et al. 2017", "et al. 2018", "et al. 2020",
        "from 9.0 % (5) to 11.2 % (1) of a class",
        "after 40 epochs at most, set heads after 20 (CIFAR-100: 40), heads after 160", "trained for 5, 15 and 40 images",
    ],
    "notebooks/sections/beyond_small_dense.ipynb": [
        "FLOPs are 2 MACs", "(pool 4: each 4 × 4 pixels are averaged)", "et al. (2021)", "Adam at 1e-4 in batches of 64",
        "prunes in 100 rounds", "at most 20 epochs at ten times", "(Conv for three epochs, FC for 20,",
    ],
    "notebooks/sections/section_5_1.ipynb": [
        "CIFAR-10 at 3 to 4.5", "have a limit of 20 epochs, those pruned harder one of 60.",
        "more than one seed the smallest, 2.5,", "two ranges lie below 0.9;", "$W$ is 1 where", "in 97.5 %",
        "log2(1 − n-accuracy)", "at its $n$, up to 40, of Conv to 60;", "(13 and 18 for its other networks)",
        "and 16 and 19 for CIFAR-100",
    ],
    "notebooks/sections/section_5_2.ipynb": [
        "end at 100 %", "20 epochs", "in 95 of 100 cases", "by 0.1 %", "by a further 0.1 %", "waits for 10 epochs", "start at 0",
        "excludes 0", "the last 20 epochs",  "with batches of 256", "60 epochs against 190", "Trained to the end, 60 epochs at most",
    ],
    "notebooks/sections/section_5_3.ipynb": [
        "In their last 40 they", "graphs for 2, 5 and 15.", "for every value of $n \\in (2, 5, 7, 15, 40)$",
        "200 units", "sees 64 images", "that was run, 2 (on Tiny ImageNet it is not pruned).", "512 pooled features",
        "pooled to 512 values", "100 a class", "1 is the head trained on single images",
    ],
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_other_number_in_prose_is_known_to_be_no_result(document):
    """A number that was measured belongs into a cell that computes it, or into CHECKED; one that was chosen into NO_RESULTS."""
    text = prose(document)
    for phrase in NO_RESULTS.get(document, []):
        assert phrase in text, f"{document} says no longer {phrase!r}"
    known = [sentence.format(*values(measured)) for name, sentence, measured in CHECKED if name == document] + NO_RESULTS.get(document, [])
    for phrase in sorted(known, key=len, reverse=True):
        text = text.replace(phrase, " ")
    text = NAMES.sub(" ", text)
    left = [text[max(0, found.start() - 40) : found.end() + 30] for found in re.finditer(r"\d[\d.,]*", text)]
    assert not left
