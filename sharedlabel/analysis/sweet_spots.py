"""The best compression ratio of every n: where it lies, how sure that is, and what is cheapest."""
import numpy as np
import pandas as pd

from sharedlabel.analysis.intervals import check_complete, sample_means


def find(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """For every n: rho* = argmax over rho of the mean of `value` (paper, section 2), and how sure that is.

    Columns n, `best` (rho*), `low`, `high` (95 % of the plausible rho*), `inside`, `lower_end`, `upper_end`:
    the share of `sample_means` in which rho* lies strictly inside the measured range or at an end of it, and
    `dips`. A rho with one seed has no spread and takes part in `best` alone; the rest is nan where fewer
    than three rhos are left.
    """
    rhos, ns, means = sample_means(table, value)
    middle, rows = table.groupby(["n", "rho"])[value].mean().unstack("rho"), []
    for i, n in enumerate(ns):
        row = {"n": n, "best": middle.loc[n].idxmax(), **dict.fromkeys(("low", "high", "inside", "lower_end", "upper_end", "dips"), np.nan)}
        if len(rhos) > 2:
            at = np.array(rhos)[means[:, :, i].argmax(1)]
            row["low"], row["high"] = np.quantile(at, [0.025, 0.975], method="nearest")
            row |= {"lower_end": (at == rhos[0]).mean(), "upper_end": (at == rhos[-1]).mean(), "dips": count_dips(means[:, :, i])}
            row["inside"] = 1 - row["lower_end"] - row["upper_end"]
        rows.append(row)
    return pd.DataFrame(rows)


def count_dips(means: np.ndarray) -> int:
    """How many interior columns of means [draws, rhos] lie below one on either side in 97.5 % of the draws.

    A second descent of the error would make one. nan-free means of fewer than three columns have none.
    """
    found = 0
    for i in range(1, means.shape[1] - 1):
        below_left = (means[:, :i] > means[:, [i]]).mean(0).max() >= 0.975
        below_right = (means[:, i + 1 :] > means[:, [i]]).mean(0).max() >= 0.975
        found += bool(below_left and below_right)
    return found


def cheapest(table: pd.DataFrame, targets: list[float], value: str = "n_accuracy") -> tuple[pd.DataFrame, float]:
    """The cheapest (rho, n) of one case whose mean `value` reaches each target (cost: MACs of the tuple).

    Columns target, rho, n, macs_live; with it the share of 500 `sample_means` in which the targets do not all have
    the same cheapest rho.
    """
    rhos, ns, means = sample_means(table, value)
    grouped = table.groupby(["rho", "n"])
    middle, cost = grouped[value].mean().unstack("n"), grouped["macs_live"].mean().unstack("n")

    def choose(reached: np.ndarray, cost: np.ndarray) -> list[tuple[float, int, int]]:
        priced = [np.where(reached >= target, cost, np.inf) for target in targets]
        return [(target, *np.unravel_index(p.argmin(), p.shape)) for target, p in zip(targets, priced) if np.isfinite(p).any()]

    chosen = choose(middle.to_numpy(), cost.to_numpy())
    rows = [{"target": target, "rho": cost.index[i], "n": ns[j], "macs_live": cost.iloc[i, j]} for target, i, j in chosen]
    differ = [len({i for _, i, _ in choose(drawn, cost.loc[rhos].to_numpy())}) > 1 for drawn in means[:500]] if rhos else []
    return pd.DataFrame(rows, columns=["target", "rho", "n", "macs_live"]), float(np.mean(differ)) if differ else float("nan")


def kendalls_w(table: pd.DataFrame, value: str) -> float:
    """Kendall's W over n of the order of the rhos by mean `value`: 1 where every n orders them alike.

    0 where the orders cancel out; nan with fewer than two rhos. ValueError where a rho lacks an n that another has.
    """
    means = table.pivot_table(index="n", columns="rho", values=value)
    check_complete(means.T)
    ranks = means.rank(axis=1)
    judges, items = ranks.shape
    if items < 2:
        return float("nan")
    spread = ((ranks.sum() - ranks.sum().mean()) ** 2).sum()
    return float(12 * spread / (judges**2 * (items**3 - items)))


def rank_swaps(table: pd.DataFrame, value: str, sure: float = 0.975) -> list[tuple]:
    """The pairs of rhos of which each is surely above the other at some n: above it in this share of the `sample_means` of `value`."""
    rhos, _, means = sample_means(table, value)
    at = range(len(rhos))
    above = [[((means[:, i] > means[:, j]).mean(0) >= sure).any() for j in at] for i in at]
    return [(rhos[i], rhos[j]) for j in at for i in range(j) if above[i][j] and above[j][i]]


def describe_each(spots: pd.DataFrame) -> dict[str, str]:
    """The best rho of every n with its 95 % range, under "n = 5"; a star: not surely inside the measured range."""
    found = {}
    for spot in spots.itertuples():
        reach = f" ({spot.low:g} to {spot.high:g})" if spot.low < spot.high else ""
        found[f"n = {spot.n}"] = f"{spot.best:g}{reach}" + "*" * (not spot.inside >= 0.975)
    return found
