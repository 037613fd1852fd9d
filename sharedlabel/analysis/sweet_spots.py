"""The best compression ratio of every n: where it lies, how sure that is, and what is cheapest."""
import numpy as np
import pandas as pd

from sharedlabel.analysis.intervals import chances, check_complete, sample_means


def find(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """For every n: rho* = argmax over rho of the mean of `value` (paper, section 2), and how sure that is.

    Columns n, `best` (rho*), `at_end` (whether that is the least or the largest rho), `low`, `high` (95 % of the plausible rho*),
    `inside`, `lower_end`, `upper_end`: the chance (`intervals.chances`) that rho* lies strictly inside the measured range or at an end
    of it, and `dips` of `sample_means`. A rho with one seed has no spread and is left out; where fewer than three rhos are left, `best`
    is that of all and the rest is nan.
    """
    rhos, ns, means = sample_means(table, value)
    middle, error, seeds = (table.groupby(["n", "rho"])[value].agg(how).unstack("rho") for how in ("mean", "sem", "count"))
    rows = []
    for i, n in enumerate(ns):
        own = middle.loc[n, rhos if len(rhos) > 2 else slice(None)]
        best = own.idxmax()
        row = {"n": n, "best": best, "at_end": best in own.index[[0, -1]]}
        row |= dict.fromkeys(("low", "high", "inside", "lower_end", "upper_end", "dips"), np.nan)
        if len(rhos) > 2:
            chance = chances(own.to_numpy(), error.loc[n, rhos].to_numpy(), seeds[rhos].min().to_numpy() - 1)
            row["low"], row["high"] = (rhos[place] for place in np.searchsorted(chance.cumsum(), [0.025, 0.975]))
            row |= {"lower_end": chance[0], "upper_end": chance[-1], "inside": chance[1:-1].sum(), "dips": count_dips(means[:, :, i])}
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


def dip_depth(means: np.ndarray) -> float:
    """How deep the deepest dip of means [draws, rhos, ns] may be, as a share of the highest mean at its n: the 97.5 % quantile over draws.

    A dip is as deep as a rho lies below the highest on either side, whichever is less. nan of no rho.
    """
    if not means.size:
        return float("nan")
    left = np.maximum.accumulate(means, 1)
    right = np.maximum.accumulate(means[:, ::-1], 1)[:, ::-1]
    return float(np.quantile(((np.minimum(left, right) - means) / means.mean(0).max(0)).max((1, 2)), 0.975))


def cheapest(table: pd.DataFrame, targets: list[float], value: str = "n_accuracy") -> pd.DataFrame:
    """The cheapest (rho, n) of one case whose mean `value` reaches each target (cost: MACs of the tuple): target, rho, n, macs_live."""
    grouped = table.groupby(["rho", "n"])
    middle, cost = grouped[value].mean().unstack("n"), grouped["macs_live"].mean().unstack("n")
    rows = []
    for target in targets:
        price = cost.where(middle >= target, np.inf).to_numpy()
        i, j = np.unravel_index(price.argmin(), price.shape)
        if np.isfinite(price[i, j]):
            rows.append({"target": target, "rho": cost.index[i], "n": cost.columns[j], "macs_live": cost.iloc[i, j]})
    return pd.DataFrame(rows, columns=["target", "rho", "n", "macs_live"])


def prices(means: np.ndarray, ns: list, image: np.ndarray, targets: list[float]) -> np.ndarray:
    """MACs [draws, rhos, targets] of the smallest tuple that reaches each target; inf where none does.

    means: [draws, rhos, ns]; image: MACs of one image by rho. Between two n that were measured a mean is linear in log n, so that no
    rho is cheaper by where its n happen to lie.
    """
    found = np.full((*means.shape[:2], len(targets)), np.inf)
    for k, target in enumerate(targets):
        reached = means >= target
        at = reached.argmax(2)
        after, before = (np.take_along_axis(means, index[:, :, None], 2)[:, :, 0] for index in (at, np.maximum(at - 1, 0)))
        share = np.where(at > 0, (target - before) / np.where(after > before, after - before, 1), 1)
        logs = np.log(ns)
        n = np.exp(logs[np.maximum(at - 1, 0)] + share * (logs[at] - logs[np.maximum(at - 1, 0)]))
        found[:, :, k] = np.where(reached.any(2), n * image, np.inf)
    return found


def judge_cheapest(table: pd.DataFrame, targets: list[float], value: str = "n_accuracy", margin: float = 1.1) -> tuple[int, str]:
    """How many rho are the cheapest for a target by the means, and whether the cheapest depends on the target, both by `prices`.

    `holds`: of two rho each costs `margin` times as much as the other for some target, with a chance of 97.5 %, corrected for the
    number of pairs and of targets (Bonferroni); `fails`: one rho costs less than `margin` times the least for every target, in 97.5 % of
    the `sample_means`, of at least two that are reached; else `cannot tell`.
    """
    rhos, ns, means = sample_means(table, value)
    if len(rhos) < 2:
        return len(rhos), "cannot tell"
    image = (table["macs_live"] / table["n"]).groupby(table["rho"]).mean()[rhos].to_numpy()
    middle = table.groupby(["rho", "n"])[value].mean().unstack("n").loc[rhos].to_numpy()[None]
    [price] = prices(middle, ns, image, targets)
    count = len(set(price.argmin(0)[np.isfinite(price).any(0)]))
    price = prices(means, ns, image, targets)
    reached = np.isfinite(price).any(1).mean(0) >= 0.975  # the targets that surely are
    price, each = price[:, :, reached], prices(sample_means(table, value, quantiles=True)[2], ns, image, targets)[:, :, reached]
    sure = 1 - 0.025 / (len(rhos) * (len(rhos) - 1) / 2 * max(1, price.shape[2]))
    dearer = (chance_dearer(each, margin) >= sure).any(2)  # [rho, other rho]
    if (dearer & dearer.T).any():
        return count, "holds"
    always = (price <= margin * price.min(1, keepdims=True)).all(2).mean(0) >= 0.975
    return count, "fails" if price.shape[2] > 1 and always.any() else "cannot tell"


def chance_dearer(price: np.ndarray, margin: float) -> np.ndarray:
    """How likely a rho costs more than `margin` times what another does: [rhos, rhos, targets] of `prices` at quantiles of each rho."""
    found = np.zeros((price.shape[1], *price.shape[1:]))
    for i, j, k in np.ndindex(found.shape):
        own = np.sort(price[:, i, k])
        found[i, j, k] = 1 - np.searchsorted(own, margin * price[:, j, k], side="right").mean() / len(own)
    return found


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


def same_order(table: pd.DataFrame, value: str) -> float:
    """The share of the `sample_means` of `value` in which every n has the rhos in one order, none level; nan with fewer than two rhos."""
    rhos, _, means = sample_means(table, value)
    steps = np.diff(np.take_along_axis(means, means[:, :, :1].argsort(axis=1), axis=1), axis=1)
    return float((steps > 0).all((1, 2)).mean()) if len(rhos) > 1 else float("nan")


def rank_swaps(table: pd.DataFrame, value: str) -> list[tuple]:
    """The pairs of rhos of which each is surely above the other at some n: in 97.5 % of the `sample_means` of `value`, corrected for the
    number of pairs and of n (Bonferroni)."""
    rhos, ns, means = sample_means(table, value)
    at, sure = range(len(rhos)), 1 - 0.025 / max(1, len(rhos) * (len(rhos) - 1) / 2 * len(ns))
    above = [[((means[:, i] > means[:, j]).mean(0) >= sure).any() for j in at] for i in at]
    return [(rhos[i], rhos[j]) for j in at for i in range(j) if above[i][j] and above[j][i]]


def describe_each(spots: pd.DataFrame) -> dict[str, str]:
    """The best rho of every n with its 95 % range, under "n = 5"; a star: not surely inside the measured range."""
    found = {}
    for spot in spots.itertuples():
        reach = f" ({spot.low:g} to {spot.high:g})" if spot.low < spot.high else ""
        found[f"n = {spot.n}"] = f"{spot.best:g}{reach}" + "*" * (not spot.inside >= 0.975)
    return found
