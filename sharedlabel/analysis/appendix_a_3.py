"""Appendix A.3: in which order an LSTM reads the images of a tuple; each order minus the random one, in pairs by seed, and the claims.

A pair has the same seed, and so the same CNN, the same initial head and the same test tuples, and the same limits of training.
"""
import numpy as np
import pandas as pd

from sharedlabel.analysis import comparisons, intervals, plots, tables
from sharedlabel.analysis.comparisons import NEGLIGIBLE, Claim
from sharedlabel.analysis.intervals import HEAD_MATCHED, PANEL
from sharedlabel.analysis.section_5_3_figures import in_panels
from sharedlabel.analysis.section_5_3_runs import concat
from sharedlabel.analysis.section_5_3_tables import by_n

AT_DEFAULT = ["cnn_method", "standard_weight", "tuple_size", "tuples_per_batch", "augment", "permutations", "cnn_training", "standardised",
              "head_biases", "head_score_n", "head_batch_size", "head_learning_rate"]
CONTROLS = ["head_per_image_balanced", "head_tuple_mean_balanced"]  # to which no order means anything
CEILING = 98.0  # per cent: where the random order is above this in every seed, no order has room to be ahead
CONVERGED = 0.95  # of the way of its held-out loss from the first epoch to the least


def select_runs(results: str = "results") -> pd.DataFrame:
    """CNN-LSTMs with an `order` of their own at the n that they were trained for, of random tuples, and the controls beside them.

    Of each panel and n, the seeds that have another order than confidence. `order` of a control is its variant. Other settings
    have default values, networks and heads are pruned by SynFlow on a CNN that was trained with the balanced loss. `losses`: an array,
    the held-out loss after each epoch, nan of a control.
    """
    records = tables.load_records(results)
    table = records[(records["protocol"] == "random") & (records["pruner"] == "synflow") & (records["head_pruner"] == "synflow")]
    table = tables.at_defaults(table, AT_DEFAULT).astype({"n": int})
    table = table.assign(per_cent=100 * table["n_accuracy"].astype(float))
    lstm = tables.check_distinct(table[(table["method"] == "cnn_lstm") & (table["n"] == table["train_n"])], [*PANEL, "order", "seed", "n"])
    cases = [plots.select_case(lstm, case) for case in plots.cases(lstm, PANEL)]
    lstm = concat([own for own in cases if own["order"].nunique() > 1], lstm)
    places = lstm.loc[lstm["order"] != "confidence", [*PANEL, "seed", "n"]].drop_duplicates()
    lstm, heads = lstm.merge(places), table[table["method"] == "head_control"]
    per_image, tuple_mean = heads[heads["train_n"] == 1], heads[(heads["train_n"] == heads["n"]) & (heads["n"] > 1)]
    controls = [own.assign(order=name).merge(places) for own, name in zip((per_image, tuple_mean), CONTROLS)]
    curves = tables.load_curves(results, {"cnn_lstm"})
    losses = curves[curves["run"].isin(lstm["run"])].groupby("run")["validation_loss"].agg(np.array) if len(lstm) else {}
    lstm = lstm.assign(losses=lstm["run"].map(losses))
    return concat([lstm, *controls], lstm)


def minus_random(runs: pd.DataFrame, order: str) -> pd.DataFrame:
    """Runs of this order (or control) minus those of the random one, by panel, n and seed: `difference`, `random`."""
    runs = runs.astype({"per_cent": float})  # of no runs it is not a number
    pairs = comparisons.paired_differences(runs, order, "random", "per_cent", by="order", matched=HEAD_MATCHED)
    return pairs.assign(order=order)


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """`minus_random` of every order and control below one another."""
    orders = [order for order in plots.CURVE_ORDER["order"] if order != "random"]
    return concat([minus_random(runs, order) for order in orders], runs.assign(difference=0.0))


def as_cases(found: pd.DataFrame, verdicts: list[str], words: str = "") -> pd.DataFrame:
    """The rows of a claim from a `summary` by PANEL and n."""
    return comparisons.as_cases(found, (title + words for title in plots.titles(found)), verdicts)


def claim_confidence_is_better(runs: pd.DataFrame) -> pd.DataFrame:
    """The cases of the claim that the order by confidence is usually better than a random one."""
    found = intervals.summary(minus_random(runs, "confidence"), "difference", [*PANEL, "n"])
    return as_cases(found, comparisons.judge_each(found))


def judge_usually(verdicts: list[str]) -> str:
    """The verdict on a claim about most of the cases; without a case it cannot be told."""
    wins, losses = (verdicts.count(word) / max(len(verdicts), 1) for word in ("holds", "fails"))
    return "holds" if wins > 0.5 else "fails" if losses >= 0.5 else "cannot tell"


def growth_at_low_n(runs: pd.DataFrame) -> pd.DataFrame:
    """By how many points the lead of the order by confidence grows at each halving of n: PANEL, seed, `n` (text: which), `difference`.

    The negative slope of the lead on log2(n), seed by seed, over the n at which the random order is below CEILING in some seed. A panel
    with fewer than two such n has one row, whose seed and difference are nan.
    """
    pairs, found = minus_random(runs, "confidence"), []
    for case in plots.cases(pairs, PANEL):
        own = plots.select_case(pairs, case)
        least = own.groupby("n")["random"].min()
        sizes = list(least.index[least < CEILING])
        if len(sizes) < 2:
            found.append(pd.DataFrame([dict(zip(PANEL, case)) | {"n": f"fewer than two below {CEILING:g} %"}]))
            continue
        leads = own[own["n"].isin(sizes)].pivot(index=[*PANEL, "seed"], columns="n", values="difference").dropna()
        slopes = -np.polyfit(np.log2(sizes), leads.to_numpy().T, 1)[0]
        found.append(leads.index.to_frame(index=False).assign(n=", ".join(map(str, sizes)), difference=slopes))
    return concat(found, pd.DataFrame(columns=[*PANEL, "seed", "n", "difference"])).reindex(columns=[*PANEL, "seed", "n", "difference"])


def claim_more_at_low_n(runs: pd.DataFrame) -> pd.DataFrame:
    """The cases of the claim that the order by confidence is better especially at low n."""
    growth = growth_at_low_n(runs)
    found = intervals.summary(growth.astype({"difference": float}), "difference", [*PANEL, "n"])
    return as_cases(found, comparisons.judge_each(found))


def claim_permutations_negligible(runs: pd.DataFrame) -> pd.DataFrame:
    """The cases of the claim that averaging over several random permutations makes no notable difference."""
    pairs = minus_random(runs, "permutations")
    found, levels = (intervals.summary(pairs, value, [*PANEL, "n"]) for value in ("difference", "random"))
    return as_cases(found, comparisons.judge_each_negligible(found, NEGLIGIBLE, 100 - levels["mean"]))


def epochs_to_converge(losses: np.ndarray) -> int:
    """In how many epochs a run's held-out losses [epochs] have made CONVERGED of the way from the first to the least.

    Of its own way: the mean of several outputs has a lower loss than one output by itself, so that no level is fair to both.
    """
    return int((losses <= losses.min() + (1 - CONVERGED) * (losses[0] - losses.min())).argmax()) + 1


def epochs_in_pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """`epochs_to_converge` of permutations and of the random order, in pairs by seed: PANEL, n, seed, both, `difference`, `at_least`
    (and why each stopped).

    A run that stopped at the limit might have come further, and then had converged later: where it is the earlier one, `at_least` is 0.
    """
    keys = [*PANEL, "n", "seed"]
    sides = [runs.loc[runs["order"] == order, [*keys, "losses", "at_limit"]] for order in ("permutations", "random")]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("_permuted", "_once"))
    pairs = pairs.assign(permutations=pairs.pop("losses_permuted").map(epochs_to_converge).astype(float),
                         random=pairs.pop("losses_once").map(epochs_to_converge).astype(float))
    pairs = pairs.assign(difference=pairs["permutations"] - pairs["random"])
    earlier_at_limit = pairs["at_limit_permuted"].where(pairs["difference"] < 0, pairs["at_limit_once"])
    return pairs.assign(at_least=pairs["difference"].mask(earlier_at_limit, 0.0))


def claim_permutations_converge_later(runs: pd.DataFrame) -> pd.DataFrame:
    """The cases of the claim that permutations take more epochs to converge, for most of their way."""
    found, at_least = (intervals.summary(epochs_in_pairs(runs), value, [*PANEL, "n"]) for value in ("difference", "at_least"))
    return as_cases(found, comparisons.judge_each(at_least))


def convergence(runs: pd.DataFrame) -> pd.DataFrame:
    """Epochs, means over seeds, and how many runs stopped at the limit, of permutations and of the random order, by panel and n."""
    own = runs[runs["order"].isin(["permutations", "random"])]
    own = own.assign(panel=plots.titles(own))
    found = own.groupby(["panel", "n", "order"]).agg(epochs=("epochs", "mean"), limit=("at_limit", "sum"), seeds=("seed", "count"))
    cells = [f"{row.epochs:.0f} ({row.limit} of {row.seeds})" for row in found.itertuples()]
    wide = found.assign(cell=cells).reset_index().pivot(index=["panel", "n"], columns="order", values="cell")
    wide = wide.reindex(columns=["permutations", "random"]).dropna()
    return wide.rename(columns=lambda order: f"{order}: epochs (at the limit)").rename_axis(columns=None)


CLAIMS = [
    Claim("confidence-order", "appendix A.3", "Reading the surest image first is usually better than a random order", "points",
          "above zero by its 95 % t-interval at most of the n and ρ", claim_confidence_is_better, overall=judge_usually),
    Claim("confidence-low-n", "appendix A.3", "reading the surest image first helps most at low n", "points at each halving of n",
          f"the lead grows as n falls, over the n at which the random order is below {CEILING:g} % in some seed", claim_more_at_low_n),
    Claim("permutations-negligible", "appendix A.3", "Averaging over random permutations makes no notable difference", "points",
          f"the whole interval lies within {NEGLIGIBLE:g} points of the random order either way, where that is as far below 100 %",
          claim_permutations_negligible, wanted=(-NEGLIGIBLE, NEGLIGIBLE)),
    Claim("permutations-converge-later", "appendix A.3", "Permutations take more epochs to converge", "epochs",
          f"more epochs than the random order until the held-out loss has made {100 * CONVERGED:g} % of its way to its least; a run that "
          "is earlier and stopped at the limit counts as level",
          claim_permutations_converge_later),
]


def by_order(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Means of `value` over seeds with half their intervals: a row a panel and order, a column an n."""
    found = intervals.summary(table, value, [*PANEL, "order", "n"])
    panels = plots.titles(found)
    return by_n(found, {"panel": panels, "order": [plots.TITLES[order] for order in found["order"]]})


def what_was_run(runs: pd.DataFrame) -> pd.DataFrame:
    """The CNN-LSTMs by panel, order and n. `limit`: runs that stopped at the epoch limit; `learned nothing`: that always name one class."""
    table = runs[runs["method"] == "cnn_lstm"]
    found = table.groupby([*PANEL, "order", "n"], as_index=False).agg(
        seeds=("seed", "count"), weights=("params_remaining", "median"), epochs=("epochs", "mean"), limit=("at_limit", "sum"),
        **{"learned nothing": ("idle", "sum")})
    panels = plots.titles(found)
    return found.drop(columns=PANEL).round({"epochs": 0}).set_index([pd.Index(panels, name="panel")])


def accuracies_figure(runs: pd.DataFrame):
    """n-accuracy by order against n, the controls beside it; None where there is nothing to draw."""
    return in_panels(runs, "per_cent", "order", bars=True)[0]


def differences_figure(runs: pd.DataFrame):
    """Each order and control minus the random order, in pairs by seed."""
    figure, axes = in_panels(differences(runs), "difference", "order", ylabel="minus random (points)", bars=True)
    for ax in axes:
        ax.axhline(0, color="0.4", linewidth=1)
        plots.fit_y_axis(ax, bands=True)
    return figure
