"""Readouts of single images beside averaged logits, set heads, the head alone and the CNN-LSTM: what accuracy costs, and images needed.

A rung of the ladder is one way to turn a CNN's output for each image of a tuple into a prediction. n-accuracies are in percent;
weights and MACs are those of CNN and readout together, MACs for one image; of a set head what is computed once a tuple is shared out
among its images. Tuples are the `random` ones.
"""
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from sharedlabel import choices
from sharedlabel.analysis import intervals, law, plots, tables
from sharedlabel.analysis.comparisons import Claim, as_cases, claim_rows, judge_each, judge_each_negligible, pair_up
from sharedlabel.analysis.intervals import ROW
from sharedlabel.analysis.section_5_3_runs import TABLE_2_N, printed_table_2

MEASURED_AND_PREDICTED = [("measured", "accuracy"), ("predicted", "predicted")]
TARGET = 95.0  # n-accuracy that `images_needed` is about
TOLERANCE = 2.0  # points by which a readout may fall short of an LSTM and still count as level
FACTOR = 1.25  # by which a predicted number of images may be off
RUNGS = {  # in the order of the ladder
    "averaged": "averaged logits", "vote": "majority vote", "prior": "less log frequencies", "bias": "refitted biases",
    "lda": "LDA", "linear": "linear layer", "mlp8": "MLP, 8 units", "mlp32": "MLP, 32 units",
    "mlp200": "MLP, 200 units", "lda_features": "LDA of the last hidden layer", "head_pruned": "head alone, pruned",
    "lstm_pruned": "CNN-LSTM, pruned head", "attention_alone": "attention pooling alone", "attention": "attention pooling",
    "deep_sets_alone": "DeepSets alone", "deep_sets": "DeepSets", "head": "head alone", "lstm": "CNN-LSTM",
}
OFFSETS = {"averaged": "averaged logits", "prior": "less log frequencies", "bias": "refitted biases",
           "balanced": "balanced training", "balanced_bias": "balanced, refitted", "alike": "classes alike",
           "alike_bias": "alike, refitted"}  # of the baseline's CNN but for the last four
SETS_TRAINED_FOR = {2: 5, 5: 5, 7: 5, 15: 15, 40: 40}  # which of a study's set heads is read at an n
HEAD_DEFAULTS = ["order", "permutations", "cnn_training", "standardised", "head_biases", "head_pruner", "head_score_n",
                 "standard_weight", "tuple_size", "tuples_per_batch", "initialisation"]
KEYS = [*ROW, "cnn_method", "rung", "seed", "n"]


def select_runs(results: str | Path = "results") -> pd.DataFrame:
    """Every rung on every CNN, a row a run and n: KEYS, `run`, `accuracy`, `weights`, `macs` of one image, and `predicted`, the accuracy by
    the law from training images (`analysis.law`; nan of runs that it does not have).

    `cnn_method` is what trained the CNN, `alike` being the balanced method with lambda = 1: the baseline's loss, all classes alike. A head
    alone was trained on single images; a CNN-LSTM for this n, a set head as SETS_TRAINED_FOR says. All else
    is at its default, of set heads as in params/set_heads.yaml.
    """
    runs = tables.load_records(results, (*choices.PAPER_METHODS, "readout", "set_head"))
    runs = runs[(runs["protocol"] == "random") & (runs["pruner"] == "synflow") & (runs["prune_iterations"] == 100)]
    alike = (runs["standard_weight"] == 1) & runs["method"].isin(["balanced", "readout"])
    runs = tables.at_defaults(runs.assign(standard_weight=runs["standard_weight"].mask(alike, 0.5)), HEAD_DEFAULTS, but=["head_pruner"])
    cnn = runs["cnn_method"].where(~runs["method"].isin(["baseline", "balanced"]), runs["method"])
    runs = runs.assign(rung=name_rungs(runs), cnn_method=cnn.mask(alike.reindex(runs.index), "alike"))
    alone, sets = runs["train_n"] == 1, runs["method"] == "set_head"
    heads = runs["method"].isin(["head_control", "cnn_lstm"])
    used = np.where(runs["method"] == "head_control", alone, runs["train_n"] == runs["n"])
    plain = (runs["head_pruner"] == "synflow") & (runs["head_learning_rate"] == 1e-4) & (runs["head_batch_size"] == 64)
    of_sets = (alone | (runs["train_n"] == runs["n"].map(SETS_TRAINED_FOR))) & (runs["head_learning_rate"] == 1e-3)
    of_sets &= runs["head_batch_size"] == np.where(alone, 64, 0)
    stated = (runs["head_rho"] == 0) | (runs["head_rho"] == table_2_head_rho(runs))
    macs = runs["macs_live_image"].mask(sets, runs["macs_live"] / runs["n"])
    found = runs.assign(accuracy=100 * runs["n_accuracy"], weights=runs["params_remaining"], macs=macs)
    found = found[runs["rung"].notna() & (~heads | (used & plain & stated)) & (~sets | of_sets)]
    laws = law.read_all(0, results).set_index(["run", "n"])["training_accuracy"]
    keys = pd.MultiIndex.from_arrays([found["run"].map(law.digest), found["n"].astype(float)])
    found = found.assign(predicted=100 * laws.reindex(keys).to_numpy(float))
    return tables.check_distinct(found[[*KEYS, "run", "accuracy", "weights", "macs", "predicted"]], KEYS).astype({"n": int, "seed": int})


def name_rungs(runs: pd.DataFrame) -> pd.Series:
    """Which rung a run is, one of RUNGS; nan for what is none (`averaged` readouts among them: the CNN's own record says the same)."""
    head = np.where(runs["head_rho"] == 0, "", "_pruned")
    readout = runs["readout"].astype(str) + np.where(runs["readout"] == "mlp", runs["hidden_units"].fillna(0).astype(int).astype(str), "")
    readout = readout + np.where(runs["embedding"] == "features", "_features", "")
    named = {
        "baseline": "averaged", "balanced": "averaged", "head_control": "head" + pd.Series(head, runs.index),
        "cnn_lstm": "lstm" + pd.Series(head, runs.index), "readout": readout.where(runs["readout"] != "averaged"),
        "set_head": (runs["set_head"].astype(str) + np.where(runs["train_n"] == 1, "_alone", "")).where(runs["head_rho"] == 0),
    }
    found = pd.Series(np.nan, runs.index, dtype=object)
    for method, name in named.items():
        found = found.mask(runs["method"] == method, name)
    return found.where(found.isin(list(RUNGS)))


def table_2_head_rho(runs: pd.DataFrame) -> pd.Series:
    """The rho to which Table 2 prunes the head of a data set; nan of another."""
    return runs["dataset"].map(printed_table_2().dropna(subset="head_rho").groupby("dataset")["head_rho"].first())


def table_2_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The rungs on the CNNs that have an LSTM head (those of Table 2), at its n."""
    with_head = runs[runs["rung"] == "lstm"][ROW].drop_duplicates()
    return runs.merge(with_head, on=ROW)[lambda table: table["n"].isin(TABLE_2_N)]


def select_ladder(runs: pd.DataFrame, case: tuple) -> pd.DataFrame:
    """`table_2_runs` `on_cnn`.

    Without `prior` on the balanced CNN: its batches are of all classes alike, so that it is a control, not a way to read it.
    """
    part = table_2_runs(runs)
    part = part[(part["rung"] != "prior") | (part["cnn_method"] == "baseline")]
    return on_cnn(part, case)


def on_cnn(runs: pd.DataFrame, case: tuple) -> pd.DataFrame:
    """The rungs on one CNN (ROW and cnn_method), of the seeds that LDA has: averaged logits of more would stand beside other CNNs."""
    part = tables.select(runs, **dict(zip([*ROW, "cnn_method"], case)))
    return part[part["seed"].isin(part.loc[part["rung"] == "lda", "seed"])]


def rung_differences(runs: pd.DataFrame, one: str, other: str, ns: list[int]) -> pd.DataFrame:
    """How far one rung lies above another in points, in pairs by seed: `intervals.summary`'s columns by ROW, cnn_method and n."""
    keys = [*ROW, "cnn_method", "n"]
    pairs = pair_up(*(runs[(runs["rung"] == rung) & runs["n"].isin(ns)] for rung in (one, other)), [*keys, "seed"], "accuracy")
    return intervals.summary(pairs, "difference", keys) if len(pairs) else pd.DataFrame(columns=[*keys, "mean", "low", "high", "seeds"])


def claim_difference(runs: pd.DataFrame, one: str, other: str, ns: list[int], tolerance: float = 0.0) -> pd.DataFrame:
    """Whether one rung lies above another, or no more than `tolerance` below it, for every CNN and n."""
    found = rung_differences(runs, one, other, ns)
    return as_cases(found, cnn_titles(found), judge_each(found, -tolerance))


def cnn_titles(found: pd.DataFrame) -> list[str]:
    """What each row's network is called."""
    return [f"{plots.case_title(case)}, {cnn} network" for *case, cnn in zip(*(found[name] for name in [*ROW, "cnn_method"]))]


def of_baseline(runs: pd.DataFrame, one: str) -> pd.DataFrame:
    """`claim_difference` of a rung and averaged logits, of the baseline's CNNs."""
    return claim_difference(runs[runs["cnn_method"] == "baseline"], one, "averaged", [5, 40])


claim_lda = partial(claim_difference, one="lda", other="averaged", ns=[5, 40])
claim_prior, claim_bias = (partial(of_baseline, one=one) for one in ("prior", "bias"))
claim_lda_pruned_lstm = partial(claim_difference, one="lda", other="lstm_pruned", ns=TABLE_2_N)
claim_lda_lstm, claim_features_lstm, claim_mlp_lstm = (
    partial(claim_difference, one=one, other="lstm", ns=TABLE_2_N, tolerance=TOLERANCE) for one in ("lda", "lda_features", "mlp32"))


def claim_bias_balanced(runs: pd.DataFrame) -> pd.DataFrame:
    """The baseline's CNN with refitted biases minus the balanced one as it is, averaged logits of both."""
    return claim_difference(beside_balanced(runs), "bias", "balanced", [5, 40], TOLERANCE)


def beside_balanced(runs: pd.DataFrame) -> pd.DataFrame:
    """The baseline's CNNs, with two rungs of each other CNN: its averaged logits (`balanced`, `alike`) and its refitted biases (`_bias`).

    Of the seeds that have averaged logits and refitted biases of the baseline and averaged logits of balanced training.
    """
    others = runs[(runs["cnn_method"] != "baseline") & runs["rung"].isin(["averaged", "bias"])]
    others = others.assign(cnn_method="baseline", rung=others["cnn_method"] + others["rung"].map({"averaged": "", "bias": "_bias"}))
    found = pd.concat([runs[runs["cnn_method"] == "baseline"], others])
    whole = found.groupby([*ROW, "seed"])["rung"].transform(lambda rungs: {"averaged", "bias", "balanced"} <= set(rungs))
    return found[whole.astype(bool)]


def claim_sets(runs: pd.DataFrame, others: dict[str, str], tolerance: float = 0.0) -> pd.DataFrame:
    """`claim_difference` of each set head and the rung that `others` says, one below the other; failures are corrected for all of them."""
    found = pd.concat([rung_differences(runs, *pair, TABLE_2_N).assign(one=pair[0]) for pair in others.items()], ignore_index=True)
    return as_cases(found, found["one"].map(RUNGS) + ", " + pd.Series(cnn_titles(found), dtype=object), judge_each(found, -tolerance))


claim_sets_lstm = partial(claim_sets, others=dict.fromkeys(choices.SET_HEADS, "lstm"), tolerance=TOLERANCE)
claim_sets_alone = partial(claim_sets, others={name: f"{name}_alone" for name in choices.SET_HEADS})
claim_sets_head = partial(claim_sets, others=dict.fromkeys(choices.SET_HEADS, "head"))


def claim_limit(runs: pd.DataFrame) -> pd.DataFrame:
    """n-accuracy of LDA at n = 80 against TARGET."""
    found = intervals.summary(runs[(runs["rung"] == "lda") & (runs["n"] == 80)], "accuracy", [*ROW, "cnn_method"])
    return as_cases(found, cnn_titles(found), judge_each(found, TARGET), n=80)


# ---- images needed


def images_needed(ns: np.ndarray, accuracies: np.ndarray, target: float = TARGET) -> float:
    """The least n, interpolated in log n, from which on accuracies (of increasing ns) are at least `target`; inf where the last is not."""
    below = np.nonzero(accuracies < target)[0]
    if not len(below):
        return float(ns[0])
    last = below[-1]
    if last == len(ns) - 1:
        return np.inf
    share = (target - accuracies[last]) / (accuracies[last + 1] - accuracies[last])
    return float(np.exp(np.log(ns[last]) + share * (np.log(ns[last + 1]) - np.log(ns[last]))))


def needed(runs: pd.DataFrame) -> pd.DataFrame:
    """Images needed for TARGET of the baseline's CNNs: ROW, rung (averaged, lda), seed, `measured`, `predicted` (inf: more than 80).

    Only of runs that the law has.
    """
    chosen = runs[runs["rung"].isin(["averaged", "lda"]) & (runs["cnn_method"] == "baseline")]
    chosen = chosen.dropna(subset="predicted").sort_values("n")
    rows = [
        dict(zip([*ROW, "rung", "seed"], key))
        | {name: images_needed(part["n"].to_numpy(), part[column].to_numpy()) for name, column in MEASURED_AND_PREDICTED}
        for key, part in chosen.groupby([*ROW, "rung", "seed"])
    ]
    return pd.DataFrame(rows, columns=[*ROW, "rung", "seed", "measured", "predicted"]).astype({"measured": float, "predicted": float})


def claim_needed(runs: pd.DataFrame) -> pd.DataFrame:
    """Predicted over measured number of images for TARGET under LDA, a geometric mean over the seeds that reach it.

    A network that reaches it in a seed of which the law says that it does not by n = 80 is a case that nobody can tell: that ratio has no
    number. Nor can anybody where fewer than FACTOR images are needed, as who always says one is right there.
    """
    found = needed(runs)
    found = found[(found["rung"] == "lda") & np.isfinite(found["measured"])]
    found = found.assign(ratio=np.log(found["predicted"] / found["measured"]), never=np.isinf(found["predicted"]))
    found = found.assign(room=np.log(found["measured"]))
    means = intervals.summary(found[~found["never"]], "ratio", ROW)
    means = found.groupby(ROW).agg({"never": "sum", "room": "mean"}).reset_index().merge(means, how="left")
    rows = []
    for row, verdict in zip(means.itertuples(), judge_each_negligible(means, np.log(FACTOR), means["room"])):
        title = plots.case_title((row.dataset, row.model, row.rho))
        title += f" (by the law never up to n = 80 in {row.never} more)" if row.never else ""
        rows.append({"case": title, "n": "for 95 %", "estimate": np.exp(row.mean), "low": np.exp(row.low), "high": np.exp(row.high),
                     "seeds": row.seeds, "verdict": "cannot tell" if row.never else verdict})
    return claim_rows(rows)


CLAIMS = [
    Claim("prior-averaging", "ours", "taking the log frequencies of the training classes off a baseline's logits recognises more tuples "
          "(n = 5, 40)", "points", "the paired 95 % interval of the difference lies above 0", claim_prior),
    Claim("bias-averaging", "ours", "refitting the biases of a baseline's last layer, no weight or MAC more, recognises more tuples "
          "(n = 5, 40)", "points", "the paired 95 % interval of the difference lies above 0", claim_bias),
    Claim("bias-balanced", "ours", f"with refitted biases the baseline's CNN is at most {TOLERANCE:g} points below balanced training "
          "(n = 5, 40)", "points", f"the paired 95 % interval of the difference lies above −{TOLERANCE:g}", claim_bias_balanced,
          wanted=(-TOLERANCE, np.inf)),
    Claim("lda-averaging", "ours", "linear discriminant analysis of the logits recognises more tuples than averaging them (n = 5, 40)",
          "points", "the paired 95 % interval of the difference lies above 0", claim_lda),
    Claim("lda-limit", "ours", f"with LDA n-accuracy at n = 80 exceeds {TARGET:g} %, on every CNN", "%",
          f"the 95 % interval lies above {TARGET:g} %", claim_limit, wanted=(TARGET, np.inf)),
    Claim("lda-pruned-lstm", "ours", "LDA recognises more than the CNN-LSTM whose head is pruned as Table 2 states", "points",
          "the paired 95 % interval of the difference lies above 0", claim_lda_pruned_lstm),
    Claim("lda-lstm", "ours", f"LDA is at most {TOLERANCE:g} points below the CNN-LSTM with an unpruned head", "points",
          f"the paired 95 % interval of the difference lies above −{TOLERANCE:g}", claim_lda_lstm, wanted=(-TOLERANCE, np.inf)),
    Claim("lda-features-lstm", "ours", f"LDA of the last hidden layer, not the logits, is at most {TOLERANCE:g} points below the CNN-LSTM",
          "points",
          f"the paired 95 % interval of the difference lies above −{TOLERANCE:g}", claim_features_lstm, wanted=(-TOLERANCE, np.inf)),
    Claim("mlp-lstm", "ours", f"an MLP with 32 hidden units, its outputs averaged, is at most {TOLERANCE:g} points below the CNN-LSTM",
          "points",
          f"the paired 95 % interval of the difference lies above −{TOLERANCE:g}", claim_mlp_lstm, wanted=(-TOLERANCE, np.inf)),
    Claim("sets-lstm", "ours", "DeepSets and attention pooling, with as many parameters, are at most "
          f"{TOLERANCE:g} points below the CNN-LSTM with an unpruned head", "points",
          f"the paired 95 % interval of the difference lies above −{TOLERANCE:g}", claim_sets_lstm, wanted=(-TOLERANCE, np.inf)),
    Claim("sets-alone", "ours", "reading the images as a set adds to what the same head does on each image alone", "points",
          "the paired 95 % interval of the difference lies above 0", claim_sets_alone),
    Claim("sets-head", "ours", "DeepSets and attention pooling recognise more than the LSTM's unpruned head on each image alone", "points",
          "the paired 95 % interval of the difference lies above 0", claim_sets_head),
    Claim("images-needed", "ours", f"the law predicts the images needed for {TARGET:g} % with LDA within a factor of {FACTOR:g}", "factor",
          f"the 95 % interval of predicted over measured, over the seeds that reach it by n = 80, lies in 1/{FACTOR:g} to {FACTOR:g}; "
          f"nobody can tell where fewer than {FACTOR:g} images are needed",
          claim_needed, wanted=(1 / FACTOR, FACTOR)),
]
