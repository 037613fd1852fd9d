"""From a table of runs to means, intervals and verdicts: seeds are the sample.

The table is `records.load`'s: a row a run, n and protocol. Intervals are 95 % t-intervals over seeds;
what has no formula (an argmax) is drawn from the same model with a fixed stream.
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


def paired(table: pd.DataFrame, value: str, by: str, reference: str, cells: list[str]) -> pd.DataFrame:
    """How far level `reference` of column `by` lies above every other level, in pairs: columns `cells`, `by` and `summary`'s.

    A pair is one seed of one cell; `seeds` counts those that both levels have. Two rows of one level and
    seed are a ValueError, a table without the reference is a KeyError.
    """
    wide = table.pivot(index=[*cells, "seed"], columns=by, values=value)
    above = -wide.drop(columns=reference).sub(wide[reference], axis=0)
    return summary(above.melt(value_name=value, ignore_index=False).dropna().reset_index(), value, [*cells, by])


def draws(table: pd.DataFrame, value: str, count: int = 4000, seed: int = 0) -> tuple[list, list, np.ndarray]:
    """(rhos, ns, plausible means [count, rhos, ns]) of `value`: mean + standard error * Student's t.

    The model of the t-intervals (a bootstrap of three seeds would be far too sure). One deviate a rho
    serves all its n, because a seed that is good at one n is good at the others. A rho with one seed has no
    spread, and is left out.
    """
    grouped = table.groupby(["rho", "n"])[value]
    mean, error, seeds = (grouped.agg(how).unstack("n") for how in ("mean", "sem", "count"))
    spread = seeds.min(axis=1) > 1
    mean, error, seeds = mean[spread], error[spread], seeds[spread]
    stream = np.random.default_rng(seed)
    freedom = seeds.min(axis=1).to_numpy() - 1
    deviates = stream.standard_t(freedom, size=(count, len(freedom)))[:, :, None]
    return list(mean.index), list(mean.columns), mean.to_numpy() + deviates * error.to_numpy()


def sweet_spots(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """For every n: rho* = argmax over rho of the mean of `value` (paper, section 2), and how sure that is.

    Columns n, `best` (rho*), `low`, `high` (95 % of the plausible rho*), `inside`, `lower_end`, `upper_end`:
    the share of `draws` in which rho* lies strictly inside the measured range or at an end of it, and
    `dips`. A rho with one seed has no spread and takes part in `best` alone; the rest is nan where fewer
    than three rhos are left.
    """
    rhos, ns, means = draws(table, value)
    middle, rows = table.groupby(["n", "rho"])[value].mean().unstack("rho"), []
    for i, n in enumerate(ns):
        row = {"n": n, "best": middle.loc[n].idxmax(), **dict.fromkeys(("low", "high", "inside", "lower_end", "upper_end", "dips"), np.nan)}
        if len(rhos) > 2:
            at = np.array(rhos)[means[:, :, i].argmax(1)]
            row["low"], row["high"] = np.quantile(at, [0.025, 0.975], method="nearest")
            row |= {"lower_end": (at == rhos[0]).mean(), "upper_end": (at == rhos[-1]).mean(), "dips": dips(means[:, :, i])}
            row["inside"] = 1 - row["lower_end"] - row["upper_end"]
        rows.append(row)
    return pd.DataFrame(rows)


def verdict(spots: pd.DataFrame, sure: float = 0.975) -> str:
    """In words: for how many n the sweet spot is surely inside the measured range, surely at an end, or neither."""
    inside, lower, upper = (int((spots[name] >= sure).sum()) for name in ("inside", "lower_end", "upper_end"))
    blind = int(spots["inside"].isna().sum())
    return (
        f"of {len(spots)} n: inside the range for {inside}, at its lower end for {lower}, at its upper end for {upper}, "
        f"undecided for {len(spots) - inside - lower - upper - blind}" + (f", too few runs to tell for {blind}" if blind else "")
    )


def dips(means: np.ndarray) -> int:
    """How many interior columns of means [draws, rhos] lie below one on either side in 97.5 % of the draws.

    A second descent of the error would make one. nan-free means of fewer than three columns have none.
    """
    found = 0
    for i in range(1, means.shape[1] - 1):
        below_left = (means[:, :i] > means[:, [i]]).mean(0).max() >= 0.975
        below_right = (means[:, i + 1 :] > means[:, [i]]).mean(0).max() >= 0.975
        found += bool(below_left and below_right)
    return found


def cheapest(table: pd.DataFrame, targets: list[float]) -> tuple[pd.DataFrame, float]:
    """The cheapest (rho, n) of one case whose mean n-accuracy reaches each target (cost: MACs of the tuple).

    Columns target, rho, n, macs_live; with it the share of `draws` in which the targets do not all have
    the same cheapest rho.
    """
    rhos, ns, means = draws(table, "n_accuracy")
    grouped = table.groupby(["rho", "n"])
    middle, cost = grouped["n_accuracy"].mean().unstack("n"), grouped["macs_live"].mean().unstack("n")

    def choose(accuracy: np.ndarray, cost: np.ndarray) -> list[tuple[float, int, int]]:
        priced = [np.where(accuracy >= target, cost, np.inf) for target in targets]
        return [(target, *np.unravel_index(p.argmin(), p.shape)) for target, p in zip(targets, priced) if np.isfinite(p).any()]

    chosen = choose(middle.to_numpy(), cost.to_numpy())
    rows = [{"target": target, "rho": cost.index[i], "n": ns[j], "macs_live": cost.iloc[i, j]} for target, i, j in chosen]
    differ = [len({i for _, i, _ in choose(drawn, cost.loc[rhos].to_numpy())}) > 1 for drawn in means[:500]] if rhos else []
    return pd.DataFrame(rows, columns=["target", "rho", "n", "macs_live"]), float(np.mean(differ)) if differ else float("nan")


def agreement_of_orders(table: pd.DataFrame, value: str) -> float:
    """Kendall's W over n of the order of the rhos by mean `value`: 1 where every n orders them alike.

    0 where the orders cancel out; nan with fewer than two rhos.
    """
    ranks = table.pivot_table(index="n", columns="rho", values=value).rank(axis=1)
    judges, items = ranks.shape
    if items < 2:
        return float("nan")
    spread = ((ranks.sum() - ranks.sum().mean()) ** 2).sum()
    return float(12 * spread / (judges**2 * (items**3 - items)))
