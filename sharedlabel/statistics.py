"""From a table of runs to means, intervals and verdicts: seeds are the sample.

The table is `records.load`'s: a row a run, n and protocol. Intervals are 95 % t-intervals over seeds;
what has no formula (an argmax) is drawn from the same model with a fixed stream.
"""
import numpy as np
import pandas as pd
from scipy import stats

CASE = ["dataset", "model"]
ROW = [*CASE, "rho"]  # a row of the paper's tables
PANEL = [*ROW, "head_rho"]  # one with a head
MATCHED = ["seed", "pruner", "prune_iterations", "initialisation", "augment", "precision",  # what makes runs a pair
           "max_epochs", "patience", "min_improvement", "learning_rate", "held_out"]
HEADS = ["head_rho", "head_pruner", "standardised", "head_batch_size", "head_learning_rate", "head_max_epochs"]  # and runs with a head


def summary(table: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Mean of `value` over seeds with its interval: columns `by`, `mean`, `low`, `high`, `seeds`.

    One seed has no interval (nan), rather than one of width zero.
    """
    found = table.groupby(by)[value].agg(["mean", "sem", "count"]).reset_index()
    half = found["sem"] * stats.t.ppf(0.975, found["count"] - 1)
    return found.assign(low=found["mean"] - half, high=found["mean"] + half, seeds=found["count"]).drop(columns=["sem", "count"])


def in_words(found: pd.DataFrame, how: str = "+.1f") -> list[str]:
    """The means of a `summary` and half their intervals, where there is one: "+1.2±0.3"."""
    halves = found["high"] - found["mean"]
    return [f"{mean:{how}}" + ("" if np.isnan(half) else f"±{half:{how.lstrip('+')}}") for mean, half in zip(found["mean"], halves)]


def ahead(table: pd.DataFrame, value: str, by: str, reference: str, cells: list[str]) -> pd.DataFrame:
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
    spread, and is left out. ValueError where a rho lacks an n that another has.
    """
    grouped = table.groupby(["rho", "n"])[value]
    mean, error, seeds = (grouped.agg(how).unstack("n") for how in ("mean", "sem", "count"))
    check_complete(mean)
    spread = seeds.min(axis=1) > 1
    mean, error, seeds = mean[spread], error[spread], seeds[spread]
    stream = np.random.default_rng(seed)
    freedom = seeds.min(axis=1).to_numpy() - 1
    deviates = stream.standard_t(freedom, size=(count, len(freedom)))[:, :, None]
    return list(mean.index), list(mean.columns), mean.to_numpy() + deviates * error.to_numpy()


def check_complete(means: pd.DataFrame) -> None:
    """ValueError, which says where, if means by (rho, n) have a hole: its draws would be nan, which an argmax takes for the highest."""
    holes = means.isna().stack()
    if holes.any():
        raise ValueError(f"not every rho was measured at every n; missing: {', '.join(map(str, holes.index[holes]))}")


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

    Columns target, rho, n, macs_live; with it the share of 500 `draws` in which the targets do not all have
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


def trading_places(table: pd.DataFrame, value: str, sure: float = 0.975) -> list[tuple]:
    """The pairs of rhos of which each is surely above the other at some n: above it in this share of the `draws` of `value`."""
    rhos, _, means = draws(table, value)
    at = range(len(rhos))
    above = [[((means[:, i] > means[:, j]).mean(0) >= sure).any() for j in at] for i in at]
    return [(rhos[i], rhos[j]) for j in at for i in range(j) if above[i][j] and above[j][i]]


def paired(
    table: pd.DataFrame, one, other, value: str = "n_accuracy", by: str = "method", matched: list[str] = MATCHED,
) -> pd.DataFrame:
    """Runs side by side whose `by` is `one` and `other`: same row of the paper's table, same `matched` (seed, limits of training) and n.

    Columns ROW, `matched`, n, the two values under the names `one` and `other`, and `difference` = one - other. `summary` of
    the difference is then the paired t-interval. pandas' MergeError where a run has two partners.
    """
    keys = [*ROW, *matched, "n"]
    sides = [table.loc[table[by] == side, [*keys, value]].rename(columns={value: side}) for side in (one, other)]
    pairs = sides[0].merge(sides[1], on=keys, validate="one_to_one")
    return pairs.assign(difference=pairs[one] - pairs[other])


def p_values(found: pd.DataFrame) -> pd.Series:
    """Two-sided p-values of the means of a `summary` against 0 (Student's t over seeds); nan for one seed, 1 where all values are 0."""
    error = (found["high"] - found["mean"]) / stats.t.ppf(0.975, found["seeds"] - 1)
    p = 2 * stats.t.sf(found["mean"].abs() / error.where(error > 0, np.finfo(float).tiny), found["seeds"] - 1)
    return pd.Series(p, found.index).where(found["seeds"] > 1)


def holm(p: pd.Series) -> pd.Series:
    """p-values of a family of tests, adjusted: in at most one such family of twenty a false one is below 0.05 (Holm 1979). nan stays."""
    order = p.dropna().sort_values()
    return (order * np.arange(len(order), 0, -1)).cummax().clip(upper=1).reindex(p.index)


def judge(low: float, high: float) -> str:
    """Whether a difference with this 95 % interval is positive, as a claim has it; without an interval (nan) nobody can tell."""
    return "holds" if low > 0 else "fails" if high < 0 else "cannot tell"


def judge_each(found: pd.DataFrame) -> list[str]:
    """The verdict on every difference of a `summary`, of a claim that all of them are positive.

    One `holds` by its own 95 % interval, as the claim needs every one of them. As a single failure refutes it, and one of many
    may seem to fail by chance, one `fails` only if it is negative and significant at 5 % among them all (`holm`).
    """
    surely = (found["mean"] < 0) & (holm(p_values(found)) < 0.05)
    return ["holds" if low > 0 else "fails" if refuted else "cannot tell" for low, refuted in zip(found["low"], surely)]


def judge_little(low: float, high: float, little: float) -> str:
    """Whether a difference with this 95 % interval is one of less than `little` either way; without an interval (nan) nobody can tell."""
    return "holds" if -little < low and high < little else "fails" if low > little or high < -little else "cannot tell"


def judge_all(verdicts: list[str]) -> str:
    """The verdict on a claim about all of them: one failure is enough to fail it."""
    return "fails" if "fails" in verdicts else "holds" if set(verdicts) == {"holds"} else "cannot tell"


def counts(verdicts: list[str]) -> str:
    """How often each verdict was given."""
    return ", ".join(f"{verdicts.count(word)} {word}" for word in ("holds", "fails", "cannot tell"))


def plausible(values: np.ndarray, count: int = 4000, seed: int = 0) -> np.ndarray:
    """Plausible means [count, columns] of values [seeds, columns]: multivariate Student's t about their means.

    Every column by itself has its t-interval; together they vary as the seeds do. (`draws` has one deviate for all
    columns, which suits accuracies. The difference of two methods at one n need not go with that at another.)
    """
    seeds, middle, stream = len(values), values.mean(0), np.random.default_rng(seed)
    scale = np.sqrt(seeds * stream.chisquare(seeds - 1, size=(count, 1)))
    return middle + stream.normal(size=(count, seeds)) @ (values - middle) / scale


def overtaking(pairs: pd.DataFrame) -> dict:
    """From which n on the mean `difference` of one row's `paired` runs is positive, and how sure that is.

    `first`: the least n with a positive difference and no negative one beyond it, inf where the difference is not
    positive at last (two methods that end at 100 % are level, which undoes nothing). `low`, `high`: 95 % of
    the plausible first n; `never`: the share of plausible means in which it is inf; nan with fewer than two seeds. `seeds`.
    """
    values = pairs.pivot(index="seed", columns="n", values="difference").dropna(axis=1)
    found = {"first": float(first_positive(values.columns, values.to_numpy().mean(0))), "low": np.nan, "high": np.nan, "never": np.nan}
    if len(values) > 1:
        drawn = first_positive(values.columns, plausible(values.to_numpy()))
        found["low"], found["high"] = np.quantile(drawn, [0.025, 0.975], method="nearest")
        found["never"] = np.isinf(drawn).mean()
    return found | {"seeds": len(values)}


def first_positive(ns, differences: np.ndarray, level: float = 1e-9) -> np.ndarray:
    """The least of ns [N] from which on differences [..., N] are positive or level, starting with a positive one; inf for none."""
    negative = differences < -level
    settled = ~np.logical_or.accumulate(negative[..., ::-1], axis=-1)[..., ::-1]
    start = settled & (differences > level)
    return np.where(start.any(-1), np.asarray(ns)[start.argmax(-1)], np.inf)


def about_trend(values: np.ndarray) -> float:
    """Standard deviation of a learning curve's values about their straight line: its unrest from epoch to epoch.

    nan for fewer than three.
    """
    if len(values) < 3:
        return float("nan")
    epochs = np.arange(len(values))
    rest = values - np.polyval(np.polyfit(epochs, values, 1), epochs)
    return float(np.sqrt((rest**2).sum() / (len(values) - 2)))
