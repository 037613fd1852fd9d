"""Means over seeds and their intervals: seeds are the sample.

The table is `analysis.tables.load_records`'s: a row a run, n and protocol. Intervals are 95 % t-intervals over seeds;
what has no formula (an argmax) is drawn from the same model with a fixed stream.
"""
import numpy as np
import pandas as pd
from scipy import special, stats

CASE = ["dataset", "model"]
ROW = [*CASE, "rho"]  # a row of the paper's tables
PANEL = [*ROW, "head_rho"]  # one with a head
MATCHED = ["seed", "pruner", "prune_iterations", "initialisation", "augment", "precision",  # what makes runs a pair
           "patience", "min_improvement", "learning_rate", "held_out"]
QUANTILES = 2000  # that `chances` are integrated over
HEAD_MATCHED = [*MATCHED, "head_rho", "head_pruner", "standardised", "head_batch_size", "head_learning_rate", "head_max_epochs"]  # heads


def summary(table: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Mean of `value` over seeds with its interval: columns `by`, `mean`, `low`, `high`, `seeds`.

    One seed has no interval (nan), rather than one of width zero.
    """
    found = table.groupby(by)[value].agg(["mean", "sem", "count"]).reset_index()
    half = found["sem"] * stats.t.ppf(0.975, found["count"] - 1)
    return found.assign(low=found["mean"] - half, high=found["mean"] + half, seeds=found["count"]).drop(columns=["sem", "count"])


def stratified(table: pd.DataFrame, value: str, stratum: list[str], by: list[str]) -> pd.DataFrame:
    """The mean over strata of their means over seeds, each stratum alike, with its interval: that of these very strata, not of others.

    Columns `by`, `mean`, `low`, `high`, `least` and `most` (the strata's means), `strata`, `seeds` (of all), `freedom` (Welch and
    Satterthwaite's). A stratum with one seed has no spread, and is left out.
    """
    each = table.groupby([*by, *stratum])[value].agg(["mean", "var", "count"]).query("count > 1").reset_index()
    each = each.assign(error=each["var"] / each["count"]).assign(square=lambda own: own["error"] ** 2 / (own["count"] - 1))
    found = each.groupby(by).agg(
        mean=("mean", "mean"), least=("mean", "min"), most=("mean", "max"), strata=("mean", "count"), seeds=("count", "sum"),
        error=("error", "sum"), square=("square", "sum")).reset_index()
    found["freedom"] = (found["error"] ** 2 / found["square"]).fillna(found["seeds"] - found["strata"])  # where nothing varies
    half = found["error"] ** 0.5 / found["strata"] * stats.t.ppf(0.975, found["freedom"])
    return found.assign(low=found["mean"] - half, high=found["mean"] + half).drop(columns=["error", "square"])


def sample_means(
    table: pd.DataFrame, value: str, count: int = 40_000, seed: int = 0, quantiles: bool = False,
) -> tuple[list, list, np.ndarray]:
    """(rhos, ns, plausible means [count, rhos, ns]) of `value`: mean + standard error * Student's t.

    The model of the t-intervals (a bootstrap of three seeds would be far too sure). One deviate a rho
    serves all its n, because a seed that is good at one n is good at the others. A rho with one seed has no
    spread, and is left out. ValueError where a rho lacks an n that another has.

    quantiles: not drawn, but every rho at as many quantiles of its own deviate, rising: for the chance of what is about one rho or two.
    """
    grouped = table.groupby(["rho", "n"])[value]
    mean, error, seeds = (grouped.agg(how).unstack("n") for how in ("mean", "sem", "count"))
    check_complete(mean)
    spread = seeds.min(axis=1) > 1
    mean, error, seeds = mean[spread], error[spread], seeds[spread]
    freedom = seeds.min(axis=1).to_numpy() - 1
    if quantiles:
        deviates = stats.t.ppf(midpoints(count)[:, None], freedom)
    else:
        deviates = np.random.default_rng(seed).standard_t(freedom, size=(count, len(freedom)))
    return list(mean.index), list(mean.columns), mean.to_numpy() + deviates[:, :, None] * error.to_numpy()


def midpoints(count: int) -> np.ndarray:
    """Where the midpoint rule evaluates a function on 0 to 1."""
    return (np.arange(count) + 0.5) / count


def chances(mean: np.ndarray, error: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """How likely each of [N] independent mean + error * Student's t is the highest: the model of `sample_means` at one n, without draws.

    The integral over the quantiles of each of the chance that the others lie below, by the midpoint rule.
    """
    error = np.maximum(error, 1e-9 * max(1e-9, np.abs(mean).max()))  # of seeds that all agree; level ones share their chance
    points = mean[:, None] + error[:, None] * stats.t.ppf(midpoints(QUANTILES), freedom[:, None])
    below = special.stdtr(freedom, (points[:, :, None] - mean) / error)  # [N, QUANTILES, N]
    below[np.arange(len(mean)), :, np.arange(len(mean))] = 1
    found = below.prod(2).mean(1)
    return found / found.sum()


def check_complete(means: pd.DataFrame) -> None:
    """ValueError, which says where, if means by (rho, n) have a hole: its draws would be nan, which an argmax takes for the highest."""
    holes = means.isna().stack()
    if holes.any():
        raise ValueError(f"not every rho was measured at every n; missing: {', '.join(map(str, holes.index[holes]))}")


def sample_differences(values: np.ndarray, count: int = 4000, seed: int = 0) -> np.ndarray:
    """Plausible means [count, columns] of values [seeds, columns]: multivariate Student's t about their means.

    Every column by itself has its t-interval; together they vary as the seeds do. (`sample_means` has one deviate for all
    columns, which suits accuracies. The difference of two methods at one n need not go with that at another.)
    """
    seeds, middle, stream = len(values), values.mean(0), np.random.default_rng(seed)
    scale = np.sqrt(seeds * stream.chisquare(seeds - 1, size=(count, 1)))
    return middle + stream.normal(size=(count, seeds)) @ (values - middle) / scale


def correlation(pairs: np.ndarray) -> float:
    """The lesser of Pearson's and Spearman's correlation of pairs [N, 2]; nan where one side has no spread."""
    if (np.ptp(pairs, 0) == 0).any():
        return float("nan")
    return min(np.corrcoef(each.T)[0, 1] for each in (pairs, stats.rankdata(pairs, axis=0)))


def correlation_interval(table: pd.DataFrame, one: str, other: str, count: int = 1000) -> tuple[float, float, float]:
    """`correlation` of two columns over the rows of all runs, and its 95 % range when runs are drawn with replacement."""
    own, stream = [rows[[one, other]].to_numpy() for _, rows in table.groupby("run")], np.random.default_rng(0)
    drawn = [correlation(np.concatenate([own[i] for i in stream.integers(len(own), size=len(own))])) for _ in range(count)]
    return correlation(np.concatenate(own)), *np.nanquantile(drawn, [0.025, 0.975])


def spread_about_trend(values: np.ndarray) -> float:
    """Standard deviation of a learning curve's values about their straight line: its unrest from epoch to epoch.

    nan for fewer than three.
    """
    if len(values) < 3:
        return float("nan")
    epochs = np.arange(len(values))
    rest = values - np.polyval(np.polyfit(epochs, values, 1), epochs)
    return float(np.sqrt((rest**2).sum() / (len(values) - 2)))
