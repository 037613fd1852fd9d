"""Comparisons in pairs by seed, and verdicts on claims about them."""
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sharedlabel.analysis.intervals import MATCHED, ROW, sample_differences, summary

NEGLIGIBLE = 2.0  # points: a difference whose whole interval is smaller, either way, is not considerable


def paired_differences(
    table: pd.DataFrame, one, other, value: str = "n_accuracy", by: str = "method", matched: list[str] = MATCHED,
) -> pd.DataFrame:
    """Runs side by side whose `by` is `one` and `other`: same row of the paper's table, same `matched` (seed, how it was trained) and n.

    A pair has the same limit of training too, in epochs or, within a tenth, in steps.
    Columns ROW, `matched`, n, the two values under the names `one` and `other`, and `difference` = one - other. `summary` of
    the difference is then the paired t-interval. ValueError where a run has two partners.
    """
    keys, limits = [*ROW, *matched, "n"], ["limit_epochs", "images_a_step"]
    sides = [table.loc[table[by] == side, [*keys, *limits, value]].rename(columns={value: side}) for side in (one, other)]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("", "_of_other"))
    epochs, images = (pairs[name] / pairs[f"{name}_of_other"] for name in limits)
    alike = pairs[(epochs == 1) | ((epochs / images).clip(upper=images / epochs) > 0.9)]
    if alike.duplicated(keys).any():
        raise ValueError(f"{one} and {other}: several pairs are of one {', '.join(keys)}")
    return alike.assign(difference=alike[one] - alike[other])[[*keys, one, other, "difference"]]


def pair_up(one: pd.DataFrame, other: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """`value` in rows of `one` minus that in the rows of `other` with the same `keys`, where both have it: columns `keys`, `difference`."""
    return (one.set_index(keys)[value] - other.set_index(keys)[value]).dropna().rename("difference").reset_index()


def differences_from(table: pd.DataFrame, value: str, by: str, reference: str, cells: list[str]) -> pd.DataFrame:
    """How far level `reference` of column `by` lies above every other level, in pairs: columns `cells`, `by` and `summary`'s.

    A pair is one seed of one cell; `seeds` counts those that both levels have. Two rows of one level and
    seed are a ValueError, a table without the reference is a KeyError.
    """
    wide = table.pivot(index=[*cells, "seed"], columns=by, values=value)
    above = -wide.drop(columns=reference).sub(wide[reference], axis=0)
    return summary(above.melt(value_name=value, ignore_index=False).dropna().reset_index(), value, [*cells, by])


def p_values(found: pd.DataFrame) -> pd.Series:
    """Two-sided p-values of the means of a `summary` against 0 (Student's t over seeds); nan for one seed, 1 where all values are 0.

    Degrees of freedom are those of the column `freedom`, where it has any, else one less than `seeds`.
    """
    freedom = found["freedom"].fillna(found["seeds"] - 1) if "freedom" in found else found["seeds"] - 1
    error = (found["high"] - found["mean"]) / stats.t.ppf(0.975, freedom)
    p = 2 * stats.t.sf(found["mean"].abs() / error.where(error > 0, np.finfo(float).tiny), freedom)
    return pd.Series(p, found.index).where(found["seeds"] > 1)


def holm(p: pd.Series) -> pd.Series:
    """p-values of a family of tests, adjusted: in at most one such family of twenty a false one is below 0.05 (Holm 1979). nan stays."""
    order = p.dropna().sort_values()
    return (order * np.arange(len(order), 0, -1)).cummax().clip(upper=1).reindex(p.index)


def as_floats(found: pd.DataFrame) -> pd.DataFrame:
    """What a verdict needs of a `summary`, which may be empty or several below one another."""
    return found.filter(["mean", "low", "high", "seeds", "freedom"]).astype(float).reset_index(drop=True)


def judge_each(found: pd.DataFrame, above: float = 0.0) -> list[str]:
    """The verdict on every difference of a `summary`, of a claim that all of them lie above `above`.

    One `holds` by its own 95 % interval, as the claim needs every one of them. As a single failure refutes it, and one of many
    may seem to fail by chance, one `fails` only if it is below and significant at 5 % among them all (`holm`). Without an interval
    (one seed) nobody can tell.
    """
    shifted = as_floats(found)
    shifted[["mean", "low", "high"]] -= above
    surely = (shifted["mean"] < 0) & (holm(p_values(shifted)) < 0.05)
    return ["holds" if low > 0 else "fails" if refuted else "cannot tell" for low, refuted in zip(shifted["low"], surely)]


def judge_each_negligible(found: pd.DataFrame, little: float, room: pd.Series | None = None) -> list[str]:
    """The verdict on every difference of a `summary`, of a claim that all of them are less than `little` either way; as `judge_each`.

    room: how large each may become at most, as nothing is above 100 %. With less room than `little` a gain is small whatever it is
    worth, and nobody can tell.
    """
    found = as_floats(found)
    beyond = found["mean"].abs() - little
    outside = found.assign(mean=beyond, high=beyond + found["high"] - found["mean"])
    surely = (beyond > 0) & (holm(p_values(outside)) < 0.05)
    inside = (found["low"] > -little) & (found["high"] < little) & (room is None or room.to_numpy() >= little)
    return ["holds" if within else "fails" if refuted else "cannot tell" for within, refuted in zip(inside, surely)]


def negate(found: pd.DataFrame) -> pd.DataFrame:
    """A `summary` of the differences the other way round."""
    return found.assign(mean=-found["mean"], low=-found["high"], high=-found["low"])


def judge_all(verdicts: list[str]) -> str:
    """The verdict on a claim about all of them: one failure is enough to fail it."""
    return "fails" if "fails" in verdicts else verdicts[0] if len(set(verdicts)) == 1 else "cannot tell"


def count_verdicts(verdicts: list[str]) -> str:
    """How often each verdict was given."""
    return ", ".join(f"{verdicts.count(word)} {word}" for word in ("holds", "fails", "cannot tell"))


def crossover(pairs: pd.DataFrame) -> dict:
    """From which n on the mean `difference` of one row's `paired_differences` is positive, and how sure that is.

    `first`: the least n with a positive difference and no negative one beyond it, inf where the difference is not
    positive at last (two methods that end at 100 % are level, which undoes nothing). `low`, `high`: 95 % of
    the plausible first n; `never`: the share of plausible means in which it is inf; nan with fewer than two seeds. `seeds`.
    """
    values = pairs.pivot(index="seed", columns="n", values="difference").dropna(axis=1)
    found = {"first": float(first_positive(values.columns, values.to_numpy().mean(0))), "low": np.nan, "high": np.nan, "never": np.nan}
    if len(values) > 1:
        drawn = first_positive(values.columns, sample_differences(values.to_numpy()))
        found["low"], found["high"] = np.quantile(drawn, [0.025, 0.975], method="nearest")
        found["never"] = np.isinf(drawn).mean()
    return found | {"seeds": len(values)}


def first_positive(ns, differences: np.ndarray, level: float = 1e-9) -> np.ndarray:
    """The least of ns [N] from which on differences [..., N] are positive or level, starting with a positive one; inf for none."""
    negative = differences < -level
    settled = ~np.logical_or.accumulate(negative[..., ::-1], axis=-1)[..., ::-1]
    start = settled & (differences > level)
    return np.where(start.any(-1), np.asarray(ns)[start.argmax(-1)], np.inf)


NO_RUNS = "no runs yet"
# n is a number, or text such as "1 to 80" where a row is about several.
CLAIM_COLUMNS = ["case", "n", "estimate", "low", "high", "seeds", "verdict"]


@dataclass(frozen=True)
class Claim:
    """A claim and the rule that decides it; `rows(runs)` gives its cases, one a row, with CLAIM_COLUMNS."""

    id: str
    source: str  # where the paper makes it; "ours" for what it does not ask
    words: str
    unit: str  # of `estimate`, `low`, `high`
    rule: str
    rows: Callable[[pd.DataFrame], pd.DataFrame]
    paper: str = ""  # the number that the paper prints, if there is one
    wanted: tuple[float, float] = (0.0, np.inf)  # between which the claim wants an estimate
    overall: Callable[[list[str]], str] = judge_all  # the verdict on the claim from those on its cases

    def verdict(self, rows: pd.DataFrame) -> str:
        """The verdict on the claim from its cases; of none it is NO_RUNS."""
        return self.overall(list(rows["verdict"])) if len(rows) else NO_RUNS

    def count_contradictions(self, rows: pd.DataFrame) -> int:
        """In how many cases the case's own interval lies wholly outside what the claim wants."""
        low, high = rows["low"].astype(float), rows["high"].astype(float)
        return int(((high < self.wanted[0]) | (low > self.wanted[1])).sum())


def claim_rows(rows: list[dict]) -> pd.DataFrame:
    """The cases of a claim as a table with CLAIM_COLUMNS, also of none; what a row leaves out is nan."""
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS)


def as_cases(found: pd.DataFrame, cases: Iterable[str], verdicts: Iterable[str], **more) -> pd.DataFrame:
    """The rows of a claim (CLAIM_COLUMNS) from a `summary`, by what each is about in words and its verdict; more: n, where it has none."""
    rows = found.rename(columns={"mean": "estimate"}).assign(case=list(cases), verdict=list(verdicts), **more)
    return rows.reindex(columns=CLAIM_COLUMNS).reset_index(drop=True)


def judge_claims(claims: Iterable[Claim], runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of every claim by its id."""
    return {claim.id: claim.rows(runs) for claim in claims}
