"""Section 5.2, the course of training: what its length, its unrest and its end have to do with the differences.

`curves` is what `select_curves` returns; `runs`, networks and units as in `analysis.section_5_2`.
"""
import numpy as np
import pandas as pd

from sharedlabel import training
from sharedlabel.analysis import comparisons, intervals, plots
from sharedlabel.analysis.intervals import ROW
from sharedlabel.analysis.section_5_2 import MIN_SEEDS, load_paper, paper_differences, select_default
from sharedlabel.runs import parameters

COMPARED = ["baseline", "balanced"]
LAST = 20  # epochs at the end of training whose unrest is measured
AT = [5, 10, 20, 40, 60, 80, 160]  # epochs that tables name
WATCHED = "n_accuracy_"  # the start of the names of the curves of test accuracy


def select_curves(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The learning curves (`tables.load_curves`) of the runs with default settings: a row a run, epoch and watched n.

    Columns run, method, ROW, seed, `best` (the epoch whose weights were kept), epoch, validation_loss, n, `per_cent` (test n-accuracy).
    """
    known = select_default(runs, "random").drop_duplicates("run")[["run", "method", *ROW, "seed", "best"]]
    curves = curves.reindex(columns=list(dict.fromkeys(["run", *curves.columns]))).astype({"run": str})
    return melt_curves(curves.merge(known, on="run"), [*known.columns, "epoch", "validation_loss"])


def melt_curves(curves: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """A row for each watched n; columns `keys`, n, `per_cent`."""
    watched = [name for name in curves.columns if name.startswith(WATCHED)]
    long = curves.reindex(columns=[*keys, *watched]).melt(keys, watched, "n", "per_cent").dropna(subset="per_cent")
    return long.assign(n=long["n"].str.removeprefix(WATCHED).astype(int), per_cent=100 * long["per_cent"].astype(float))


def equally_long(curves: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """`summary` by ROW of `one` minus `other` after as many epochs as the shorter run of each pair trained; curves of one n a network."""
    sides = [curves[curves["method"] == side] for side in (one, other)]
    both = sides[0].merge(sides[1], on=[*ROW, "seed", "epoch"]).sort_values("epoch").groupby([*ROW, "seed"]).tail(1)
    return intervals.summary(both.assign(difference=both["per_cent_x"] - both["per_cent_y"]), "difference", ROW)


def late_gains(curves: pd.DataFrame, n: int = 25) -> pd.DataFrame:
    """Whether training was over: how much n-accuracy rose over a run's last ten epochs, in points, mean over runs; ROW and COMPARED."""
    watched = curves[curves["method"].isin(COMPARED) & (curves["n"] == n)].sort_values("epoch")
    rose = watched.groupby([*ROW, "method", "seed"])["per_cent"].agg(lambda own: own.iloc[-1] - own.iloc[-11:].iloc[0])
    means = rose.groupby([*ROW, "method"]).mean().unstack("method").reindex(columns=COMPARED).dropna()
    return plots.in_order(means.reset_index(), ROW)


def choose_by_test(curves: pd.DataFrame) -> pd.DataFrame:
    """What another choice of the epoch could gain at most, at each network's largest n: means over the seeds that both methods have.

    Columns ROW, n, and of COMPARED by name the n-accuracy of the epoch that was kept and, "best baseline", the highest of all epochs of a
    baseline, as if the test set chose; `seeds`. Per cent.
    """
    own = curves[curves["method"].isin(COMPARED) & (curves["n"] == curves.groupby(ROW)["n"].transform("max"))]
    keys = [*ROW, "n", "seed"]
    kept = own[own["epoch"] == own["best"]].pivot(index=keys, columns="method", values="per_cent")
    best = own[own["method"] == "baseline"].groupby(keys)["per_cent"].max()
    each = kept.reindex(columns=COMPARED).assign(**{"best baseline": best}).dropna()
    found = each.groupby([*ROW, "n"])
    return plots.in_order(found.mean().assign(seeds=found.size()).reset_index(), ROW)


def unrest(curves: pd.DataFrame) -> pd.DataFrame:
    """How far n-accuracy moves without a cause, in points, mean over the runs of a network and method, at its least and its largest n.

    Columns ROW, method, n, `epochs_sd`: the standard deviation of a run from epoch to epoch about its trend over the LAST epochs;
    `range`: between its best and its worst of these epochs; `seeds_sd`: the standard deviation between seeds of the networks kept.
    """
    ends, rows = curves.groupby(ROW)["n"].transform("min"), []
    ends = (curves["n"] == ends) | (curves["n"] == curves.groupby(ROW)["n"].transform("max"))
    for keys, run in curves[ends].groupby([*ROW, "method", "n", "seed"]):
        last = run.sort_values("epoch").tail(LAST)["per_cent"].to_numpy()
        kept = run.loc[run["epoch"] == run["best"], "per_cent"].iloc[0]
        rows.append((*keys, intervals.spread_about_trend(last), np.ptp(last), kept))
    each = pd.DataFrame(rows, columns=[*ROW, "method", "n", "seed", "epochs_sd", "range", "kept"])
    grouped = each.astype({"rho": float, "n": int}).groupby([*ROW, "method", "n"])
    return grouped.agg(epochs_sd=("epochs_sd", "mean"), range=("range", "mean"), seeds_sd=("kept", "std")).reset_index()


def find_most_restless(curves: pd.DataFrame, seeds: int = 3) -> tuple:
    """The network, of those with most runs of both methods up to `seeds`, whose baseline varies most by epoch at the largest n."""
    counts = curves.groupby([*ROW, "method"])["seed"].nunique().unstack("method").reindex(columns=COMPARED).fillna(0)
    moves = unrest(curves)
    moves = moves[(moves["n"] == moves["n"].max()) & moves["method"].isin(COMPARED)]
    moves = moves.merge(counts.min(axis=1).clip(upper=seeds).rename("fewest").reset_index())
    return tuple(moves.sort_values(["fewest", "method", "epochs_sd"], ascending=False).iloc[0][ROW])  # baseline is last by name


def compare_gaps(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Balanced minus baseline in the paper's Table 1, of one run each, beside our pairs, both of disjoint tuples, in points.

    Columns ROW, n, `paper`, `ours` with `half` its 95 % t-interval and `seeds`; `half_pair`: half the interval in which one further pair
    of ours would lie in 95 of 100 cases, `inside`: whether the paper's gap does (nan with fewer than MIN_SEEDS); `half_epochs`:
    by how much two runs that differ in nothing but the epoch at which they stop lie apart in 95 of 100 cases, 1.96 sqrt(s1^2 + s2^2)
    of their `epochs_sd` in `unrest`; nan where n was not watched.
    """
    pairs = comparisons.paired_differences(select_default(runs, "disjoint"), "balanced", "baseline", "per_cent")
    gaps = paper_differences().merge(intervals.summary(pairs, "difference", [*ROW, "n"])).rename(columns={"mean": "ours"})
    gaps["half"] = gaps["high"] - gaps["ours"]
    gaps["half_pair"] = np.sqrt(gaps["seeds"] + 1) * gaps["half"]
    gaps["inside"] = ((gaps["paper"] - gaps["ours"]).abs() <= gaps["half_pair"]).where(gaps["seeds"] >= MIN_SEEDS)
    moves = unrest(curves).pivot(index=[*ROW, "n"], columns="method", values="epochs_sd").reindex(columns=COMPARED)
    apart = 1.96 * np.hypot(moves["baseline"], moves["balanced"])
    return plots.in_order(gaps.merge(apart.rename("half_epochs").reset_index(), how="left").drop(columns=["low", "high"]), ROW)


def compare_epochs(curves: pd.DataFrame) -> pd.DataFrame:
    """Our mean n-accuracy after every epoch (random tuples) beside the paper's number (disjoint tuples), at each n that both have.

    Columns ROW, method, n, `paper`, epoch, `ours`, `difference` = ours - paper. A run that has stopped stays where it stopped.
    """
    found = []
    paper = load_paper()
    for keys, part in curves[curves["method"].isin(COMPARED)].groupby([*ROW, "method", "n"]):
        means = part.pivot(index="epoch", columns="seed", values="per_cent").ffill().mean(axis=1).rename("ours").reset_index()
        found.append(means.assign(**dict(zip([*ROW, "method", "n"], keys))))
    if not found:
        return pd.DataFrame(columns=[*ROW, "method", "n", "paper", "epoch", "ours", "difference"])
    both = paper.merge(pd.concat(found))
    return plots.in_order(both.assign(difference=both["ours"] - both["paper"]), ROW)


def reach_paper(progress: pd.DataFrame) -> pd.DataFrame:
    """Of `compare_epochs`: our mean n-accuracy after each of the epochs AT, and the first epoch at which it was the paper's or more."""
    cell = [*ROW, "method", "n", "paper"]
    after = progress[progress["epoch"].isin(AT)].pivot(index=cell, columns="epoch", values="ours")
    after["reached"] = progress[progress["difference"] >= 0].groupby(cell)["epoch"].min()
    return plots.in_order(after.reset_index(), ROW)


def closest_epochs(progress: pd.DataFrame) -> pd.DataFrame:
    """Of `compare_epochs`: the root mean square of a network's differences, in points, after each of the epochs AT, and its least.

    Columns ROW, the epochs, `least` and `epoch`, at which it was.
    """
    apart = progress.assign(square=progress["difference"] ** 2).groupby([*ROW, "epoch"])["square"].mean().pow(0.5).unstack("epoch")
    found = apart.reindex(columns=[epoch for epoch in AT if epoch in apart])
    return plots.in_order(found.assign(least=apart.min(axis=1), epoch=apart.idxmin(axis=1)).reset_index(), ROW)


def replay_stopping(curves: pd.DataFrame, patiences: tuple[int, ...] = (1, 2, 5, 10)) -> pd.DataFrame:
    """What n-accuracy (random tuples) would be, had training stopped after fewer epochs without an improvement of the held-out loss.

    The epoch with the least held-out loss until then counts. Columns ROW, method, n, `paper`, `patience`, `ours` and `epochs`,
    means over seeds; of the paper's networks and n alone.
    """
    least, rows = parameters.default("min_improvement"), []
    both = curves[curves["method"].isin(COMPARED)].merge(load_paper()).dropna(subset="validation_loss").sort_values("epoch")
    for keys, run in both.groupby([*ROW, "method", "n", "paper", "seed"]):
        for patience in patiences:
            cut = run.head(count_epochs(run["validation_loss"].to_numpy(), patience, least))
            rows.append((*keys, patience, cut.loc[cut["validation_loss"].idxmin(), "per_cent"], len(cut)))
    each = pd.DataFrame(rows, columns=[*ROW, "method", "n", "paper", "seed", "patience", "ours", "epochs"])
    return plots.in_order(each.groupby([*ROW, "method", "n", "paper", "patience"])[["ours", "epochs"]].mean().reset_index(), ROW)


def count_epochs(losses: np.ndarray, patience: int, min_improvement: float) -> int:
    """After how many epochs training with these held-out losses stops with this patience."""
    stops = (count for count in range(1, len(losses)) if training.epochs_waited(losses[:count], min_improvement) >= patience)
    return next(stops, len(losses))
