"""Section 5.3: the heads themselves: what is left of a pruned one, how much of it is needed, and whether one serves every n."""
import numpy as np
import pandas as pd

from sharedlabel.analysis import comparisons, intervals, plots, tables
from sharedlabel.analysis.intervals import HEAD_MATCHED, PANEL, ROW
from sharedlabel.analysis.section_5_3_runs import WITH_HEAD, Runs, at_defaults, at_own_n, concat, each_panel, random_tuples
from sharedlabel.runs import checkpoints, parameters

PARTS = {"embed.weight": "embedding", "lstm.weight_ih_l0": "gates", "lstm.weight_hh_l0": "recurrent", "lstm.bias_ih_l0": "gates' biases",
         "lstm.bias_hh_l0": "gates' biases", "classify.weight": "classifier", "classify.bias": "its biases"}
PART_NAMES = list(dict.fromkeys(PARTS.values()))
SWEPT = ["lstm_balanced", "head_per_image_balanced", "head_tuple_mean_balanced"]


def live_weights(runs: Runs) -> pd.DataFrame:
    """How many weights of each pruned head are alive, by what they do, means over seeds: PANEL, `variant`, `train_n`, PART_NAMES, `alive`.

    Only of runs whose checkpoint is there; no large one is committed.
    """
    table = random_tuples(runs, every_head=True)
    table = table[table["method"].isin(WITH_HEAD) & (table["head_rho"] > 0)].drop_duplicates("run")
    files = [tables.record_path(run, runs.results).with_suffix(".safetensors") for run in table.itertuples()]
    table = table.assign(file=files).astype({"train_n": int})
    table = table[np.array([file.exists() for file in files], bool)]
    counts = pd.DataFrame([count_alive(checkpoints.load(file.with_suffix(".json"))) for file in table["file"]], table.index, PART_NAMES)
    keys = [*PANEL, "variant", "train_n"]
    found = table[keys].join(counts).groupby(keys)[PART_NAMES].mean()
    return found.assign(alive=found.sum(axis=1)).reset_index()


def count_alive(tensors: dict) -> dict[str, int]:
    """How many weights of a head's sparse checkpoint are alive, by what they do."""
    counts = dict.fromkeys(PART_NAMES, 0)
    for name, part in PARTS.items():
        counts[part] += len(tensors[f"head.{name}.index"])
    return counts


def head_sweep(runs: Runs) -> pd.DataFrame:
    """n-accuracies of SWEPT (columns) against the head's rho, random tuples: ROW, n, head_rho, seed.

    Of those n of a row that have the most head rhos, three or more, the seeds that all three methods have at every rho.
    """
    table = runs.at_default[(runs.at_default["pruner"] == "synflow") & (runs.at_default["protocol"] == "random")]
    table = table[table["variant"].isin(SWEPT)].pivot(index=[*ROW, "n", "head_rho", "seed"], columns="variant", values="per_cent")
    wide = table.reindex(columns=SWEPT).dropna().rename_axis(columns=None).reset_index()
    rhos, found = wide.groupby([*ROW, "n"])["head_rho"].transform("nunique"), []
    for _, part in wide[(rhos > 2) & (rhos == rhos.groupby([wide[name] for name in ROW]).transform("max"))].groupby([*ROW, "n"]):
        seeds = set.intersection(*(set(own["seed"]) for _, own in part.groupby("head_rho")))
        if seeds:
            found.append(part[part["seed"].isin(seeds)])
    return concat(found, wide)


def sweep_curves(sweep: pd.DataFrame, minus: bool = False) -> pd.DataFrame:
    """A row a variant: `per_cent`; or `difference`, the CNN-LSTM minus each control."""
    if minus:
        sweep = sweep.assign(**{name: sweep["lstm_balanced"] - sweep[name] for name in SWEPT[1:]}).drop(columns="lstm_balanced")
    return sweep.melt([*ROW, "n", "head_rho", "seed"], var_name="variant", value_name="difference" if minus else "per_cent")


def by_trained_n(runs: Runs) -> pd.DataFrame:
    """Heads at every n, whatever n they were trained for (`train_n`; 1: per image), in the panels; the seeds that all `train_n` have."""
    table = runs.measured[(runs.measured["pruner"] == "synflow") & (runs.measured["protocol"] == "random")]
    table = at_defaults(table[table["variant"].isin(["lstm_balanced", "head_per_image_balanced"])]).astype({"train_n": int})
    panels = [plots.select_case(table, case) for case in plots.cases(random_tuples(runs), PANEL)]
    return concat([same_seeds(part, "train_n") for part in panels if len(part)], table)


def same_seeds(part: pd.DataFrame, by: str) -> pd.DataFrame:
    """Of one panel, the runs of those seeds that all its curves have; all runs where there is no such seed."""
    shared = set.intersection(*(set(own["seed"]) for _, own in part.groupby(by)))
    return part[part["seed"].isin(shared)] if shared else part


def trained_for_5(runs: Runs) -> pd.DataFrame:
    """The CNN-LSTM trained for n = 5 minus the one trained for each other n, in pairs by seed: PANEL, n, mean, low, high, seeds."""
    found = []
    for _, part in each_panel(by_trained_n(runs)):
        part = part[(part["n"] > 1) & (part["n"] != 5)]  # at 1 an LSTM is the head alone
        part = pd.concat([part[part["train_n"] == 5].assign(trained="for 5"), part[part["train_n"] == part["n"]].assign(trained="for n")])
        pairs = comparisons.paired_differences(part, "for 5", "for n", "per_cent", by="trained", matched=HEAD_MATCHED)
        found.append(intervals.summary(pairs, "difference", [*PANEL, "n"]))
    return concat(found, pd.DataFrame(columns=[*PANEL, "n", "mean", "low", "high", "seeds"]))


def higher_rate(runs: Runs) -> pd.DataFrame:
    """CNN-LSTMs trained at a higher learning rate beside the same seeds at the default one, means over seeds.

    Columns PANEL, n, `rate`, `per_cent`, `epochs`, the two of the default (`per_cent_at_default`, ...), `seeds`. A pruned LSTM
    that stopped at the limit might have come further; at the higher rate it stops by itself.
    """
    table = runs.measured[(runs.measured["pruner"] == "synflow") & (runs.measured["protocol"] == "random")]
    table = at_defaults(table[(table["variant"] == "lstm_balanced") & (table["n"] == table["train_n"])], ("head_learning_rate",))
    rate = table["head_learning_rate"]
    keys = [*PANEL, "n", "seed"]
    default = table.loc[rate == parameters.default("head_learning_rate"), [*keys, "per_cent", "epochs"]]
    pairs = table[rate > parameters.default("head_learning_rate")].merge(default, on=keys, suffixes=("", "_at_default"))
    found = pairs.groupby([*PANEL, "n", "head_learning_rate"])
    means = found[["per_cent", "epochs", "per_cent_at_default", "epochs_at_default"]].mean()
    return means.assign(seeds=found["seed"].nunique()).reset_index().rename(columns={"head_learning_rate": "rate"})


def other_minus_usual(runs: Runs, setting: str) -> pd.DataFrame:
    """CNN-LSTMs that differ from the usual ones in one parameter, minus those, in pairs by seed, random tuples.

    Columns PANEL, `variant`, `value` (the parameter's), n, `mean`, `low`, `high`, `seeds`.
    """
    table = runs.measured[(runs.measured["pruner"] == "synflow") & (runs.measured["protocol"] == "random")]
    table = at_own_n(at_defaults(table[table["method"] == "cnn_lstm"], (setting,)))
    matched, found = [name for name in HEAD_MATCHED if name != setting], []
    for variant, own in table.groupby("variant"):
        usual = own[setting] == tables.usual_values(own, setting)
        for value in sorted(own.loc[~usual, setting].unique()):
            sides = own.assign(side=np.where(usual, "usual", np.where(own[setting] == value, "other", "neither")))
            pairs = comparisons.paired_differences(sides, "other", "usual", "per_cent", by="side", matched=matched)
            found.append(intervals.summary(pairs, "difference", [*PANEL, "n"]).assign(variant=variant, value=value))
    return concat(found, pd.DataFrame(columns=[*PANEL, "n", "mean", "low", "high", "seeds", "variant", "value"]))
