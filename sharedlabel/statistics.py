"""From a table of runs to means, intervals and verdicts: seeds are the sample.

The table is `records.load`'s: a row a run, n and protocol. Intervals are 95 % t-intervals over seeds;
what has no formula (an argmax, a crossing) is bootstrapped over seeds with a fixed stream.
"""
import numpy as np
import pandas as pd
from scipy import stats

CASE = ["dataset", "model"]


def summary(table: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Mean of `value` over seeds with its interval: columns `by`, `mean`, `low`, `high`, `seeds`.

    One seed has no interval (nan), rather than one of width zero.
    """
    found = table.groupby(by)[value].agg(["mean", "sem", "count"]).reset_index()
    half = found["sem"] * stats.t.ppf(0.975, found["count"] - 1)
    return found.assign(low=found["mean"] - half, high=found["mean"] + half, seeds=found["count"]).drop(columns=["sem", "count"])


def bootstrap_means(table: pd.DataFrame, value: str, resamples: int = 2000, seed: int = 0) -> tuple[list, np.ndarray]:
    """(rhos, means [resamples, rhos]): the mean of `value` at every rho over seeds drawn with replacement."""
    stream, rhos = np.random.default_rng(seed), sorted(table["rho"].unique())
    samples = [table.loc[table["rho"] == rho, value].to_numpy() for rho in rhos]
    return rhos, np.stack([x[stream.integers(len(x), size=(resamples, len(x)))].mean(1) for x in samples], axis=1)


def sweet_spots(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """For every n: rho* = argmax over rho of the mean of `value` (paper, section 2), and how sure that is.

    Columns n, `best` (rho*), `low`, `high` (2.5 and 97.5 % points of rho* over bootstrapped seeds),
    `inside`: the share of bootstraps in which the maximum lies strictly inside the measured range, and
    `minima`: how many interior rhos are local minima by more than noise (a second descent would make one).
    """
    rows = []
    for n, part in table.groupby("n"):
        rhos, means = bootstrap_means(part, value)
        mean = part.groupby("rho")[value].mean().loc[rhos].to_numpy()
        at = np.array(rhos)[means.argmax(1)]
        low, high = np.quantile(at, [0.025, 0.975], method="nearest")
        inside = ((at > rhos[0]) & (at < rhos[-1])).mean()
        rows.append({"n": n, "best": rhos[mean.argmax()], "low": low, "high": high, "inside": inside, "minima": dips(means)})
    return pd.DataFrame(rows)


def dips(means: np.ndarray) -> int:
    """How many interior columns lie below a column on their left and one on their right in 97.5 % of bootstraps."""
    found = 0
    for i in range(1, means.shape[1] - 1):
        below_left = (means[:, :i] > means[:, [i]]).mean(0).max() >= 0.975
        below_right = (means[:, i + 1 :] > means[:, [i]]).mean(0).max() >= 0.975
        found += bool(below_left and below_right)
    return found


def cheapest(table: pd.DataFrame, targets: list[float]) -> pd.DataFrame:
    """Per case, the cheapest (rho, n) whose mean n-accuracy reaches each target; cost in MACs of the tuple."""
    means = table.groupby([*CASE, "rho", "n"])[["n_accuracy", "macs_live"]].mean().reset_index()
    rows = []
    for case, part in means.groupby(CASE):
        for target in targets:
            enough = part[part["n_accuracy"] >= target]
            if len(enough):
                rows.append(dict(zip(CASE, case)) | {"target": target} | enough.loc[enough["macs_live"].idxmin()].drop(CASE).to_dict())
    return pd.DataFrame(rows)


def agreement_of_orders(table: pd.DataFrame, value: str) -> float:
    """Kendall's W over n of the order of the rhos by mean `value`: 1 where every n orders them alike, 0 where none do."""
    ranks = table.pivot_table(index="n", columns="rho", values=value).rank(axis=1)
    judges, items = ranks.shape
    spread = ((ranks.sum() - ranks.sum().mean()) ** 2).sum()
    return float(12 * spread / (judges**2 * (items**3 - items)))
