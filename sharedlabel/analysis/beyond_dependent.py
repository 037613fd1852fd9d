"""Views of one image against different images: claims and tables on the rows of `analysis.dependent`. n-accuracies are in percent."""
from pathlib import Path

import numpy as np
import pandas as pd

from sharedlabel.analysis import dependent, intervals, plots
from sharedlabel.analysis.comparisons import Claim, as_cases, judge_each, judge_each_negligible, negate, pair_up
from sharedlabel.analysis.intervals import ROW

LARGE, WORTH, POINTS = 25, 5, 2.0  # n of the claims; images that so many views are worth at most; points within which two are level
READERS = {"averaged": "averaged logits", "lda": "LDA", "head": "head alone", "lstm": "CNN-LSTM"}
CASE = [*ROW, "cnn_method", "shift"]  # a CNN, and how far its views are shifted


def select_runs(results: str | Path = "results") -> pd.DataFrame:
    """The rows of `dependent.read`, and in points `loss`, by how much n views of one image fall short of n different ones.

    `equivalent`: the n-accuracy of as many different images as the views are worth, of the same run, interpolated in log n; `excess`: by
    how much the views exceed that. `effective` is divided by what the file has for one view, which is worth one image: the variance of
    all test images and that of the fewer with views are both estimates.
    """
    runs = dependent.read(results)
    runs = runs.astype({name: float for name in ("rho", "independent", "dependent", "effective", "predicted")})
    runs["effective"] /= runs["effective"].where(runs["n"] == 1).groupby([runs["run"], runs["shift"]]).transform("first")
    runs = runs.assign(loss=runs["independent"] - runs["dependent"], equivalent=np.nan)
    for _, part in runs[runs["reader"] != "lstm"].groupby(["run", "shift"]):
        part = part.sort_values("n")
        runs.loc[part.index, "equivalent"] = np.interp(np.log(part["effective"]), np.log(part["n"]), part["independent"])
    return runs.assign(excess=runs["dependent"] - runs["equivalent"])


def case_names(found: pd.DataFrame) -> list[str]:
    """What every row of a summary by CASE is about, in words."""
    return [f"{plots.case_title(row)}, {cnn} network, ±{shift:g} px" for *row, cnn, shift in zip(*(found[name] for name in CASE))]


def judged(found: pd.DataFrame, verdicts: list[str]) -> pd.DataFrame:
    """The rows of a claim from an `intervals.summary` by CASE and n."""
    return as_cases(found, case_names(found), verdicts)


def above(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Whether the mean of `value` over seeds is positive, for every CASE and n; failures by Holm (`judge_each`)."""
    found = intervals.summary(runs, value, [*CASE, "n"])
    return judged(found, judge_each(found))


def averaged(runs: pd.DataFrame, ns: list[int]) -> pd.DataFrame:
    """The rows of averaged logits at these n."""
    return runs[(runs["reader"] == "averaged") & runs["n"].isin(ns)]


def paired(runs: pd.DataFrame, by: str, one: str, other: str, ns: list[int]) -> pd.DataFrame:
    """How far views are recognised better where column `by` is `one` than where it is `other`, in pairs by seed: a column `difference`."""
    keys = [name for name in [*CASE, "reader", "seed", "n"] if name != by]
    sides = [runs[(runs[by] == side) & runs["n"].isin(ns)] for side in (one, other)]
    return pair_up(*sides, keys, "dependent").assign(**{by: one})


def claim_below(runs: pd.DataFrame) -> pd.DataFrame:
    """Different images minus views of one, averaged logits."""
    return above(averaged(runs, [LARGE]), "loss")


def claim_worth(runs: pd.DataFrame) -> pd.DataFrame:
    """The effective number of images of LARGE views against WORTH."""
    found = intervals.summary(averaged(runs, [LARGE]), "effective", [*CASE, "n"])
    return judged(found, judge_each(negate(found), -WORTH))


def claim_equivalent(runs: pd.DataFrame) -> pd.DataFrame:
    """Views minus as many different images as they are worth."""
    found = intervals.summary(averaged(runs, [5, LARGE]), "excess", [*CASE, "n"])
    return judged(found, judge_each_negligible(found, POINTS))


def claim_views_help(runs: pd.DataFrame) -> pd.DataFrame:
    """LARGE views minus one view, averaged logits."""
    keys = [*CASE, "reader", "seed"]
    sides = [averaged(runs, [n]) for n in (LARGE, 1)]
    return above(pair_up(*sides, keys, "dependent").assign(n=LARGE), "difference")


def claim_lda(runs: pd.DataFrame) -> pd.DataFrame:
    """LDA minus averaged logits on views."""
    return above(paired(runs, "reader", "lda", "averaged", [LARGE]), "difference")


def claim_lda_adds(runs: pd.DataFrame) -> pd.DataFrame:
    """What LARGE views gain over one by LDA minus what they gain by averaged logits."""
    sides = [paired(runs, "reader", "lda", "averaged", [n]) for n in (LARGE, 1)]
    return above(pair_up(*sides, [*CASE, "reader", "seed"], "difference").assign(n=LARGE), "difference")


def claim_balanced(runs: pd.DataFrame) -> pd.DataFrame:
    """Balanced minus baseline CNN on views, averaged logits."""
    return above(paired(averaged(runs, [LARGE]), "cnn_method", "balanced", "baseline", [LARGE]), "difference")


def claim_lstm(runs: pd.DataFrame) -> pd.DataFrame:
    """The CNN-LSTM minus the same head on each view alone, at the n that the LSTM was trained for."""
    return above(paired(runs, "reader", "lstm", "head", [5, 15]), "difference")


POSITIVE = "the paired 95 % interval lies above 0; fails where it is below 0 after Holm"
CLAIMS = [
    Claim("dependent-below", "ours", f"{LARGE} views of one image are recognised less often than {LARGE} different images", "points",
          POSITIVE, claim_below),
    Claim("dependent-worth", "ours", f"{LARGE} views are worth fewer than {WORTH} different images", "images",
          f"the 95 % interval of the effective number of images lies below {WORTH}", claim_worth, wanted=(0, WORTH)),
    Claim("dependent-equivalent", "ours", f"views are recognised as often as so many different images, within {POINTS:g} points",
          "points", f"the 95 % interval of the difference lies in −{POINTS:g} to {POINTS:g}", claim_equivalent,
          wanted=(-POINTS, POINTS)),
    Claim("dependent-views", "ours", f"{LARGE} views are recognised more often than one", "points", POSITIVE, claim_views_help),
    Claim("dependent-lda", "ours", f"LDA recognises more than averaged logits on {LARGE} views", "points", POSITIVE, claim_lda),
    Claim("dependent-lda-adds", "ours", f"LDA gains more than averaged logits from {LARGE} views instead of one", "points", POSITIVE,
          claim_lda_adds),
    Claim("dependent-balanced", "ours", f"balanced training recognises more than the baseline on {LARGE} views", "points",
          POSITIVE, claim_balanced),
    Claim("dependent-lstm", "ours", "on views an LSTM head recognises more than the head that reads each view alone (n = 5, 15)", "points",
          POSITIVE, claim_lstm),
]


# ---- tables


def tabulate(runs: pd.DataFrame, n: int = LARGE) -> pd.DataFrame:
    """A row a CNN and shift, averaged logits, means over seeds at `n`: one view, different images, views, what these are worth."""
    chosen = averaged(runs, [1, n])
    if chosen.empty:
        return pd.DataFrame()
    found = chosen[chosen["n"] == n].groupby(CASE)[["independent", "dependent", "effective", "equivalent"]].mean()
    found.insert(0, "one view", chosen[chosen["n"] == 1].groupby(CASE)["dependent"].mean())
    names = {"independent": f"{n} images", "dependent": f"{n} views", "effective": "worth", "equivalent": "so many images"}
    found = found.rename(columns=names).round(1).reset_index()
    found.insert(0, "network", plots.titles(found, ROW))
    found["shift"] = [f"±{shift:g} px" for shift in found["shift"]]
    return found.drop(columns=ROW).rename(columns={"cnn_method": "CNN"})


def tabulate_readers(runs: pd.DataFrame, n: int = 15) -> pd.DataFrame:
    """A row a CNN and reader, means over seeds at `n`, for each shift "different images → views of one"; LSTMs were trained for that n."""
    chosen = runs[runs["n"] == n]
    if chosen.empty:
        return pd.DataFrame()
    means = chosen.groupby([*ROW, "cnn_method", "reader", "shift"])[["independent", "dependent"]].mean()
    text = means["independent"].map("{:.1f}".format) + " → " + means["dependent"].map("{:.1f}".format)
    wide = text.unstack("shift").fillna("-").rename(columns=lambda shift: f"±{shift:g} px").reset_index()
    order = [list(READERS).index(reader) for reader in wide["reader"]]
    wide = wide.assign(order=order).sort_values([*ROW, "cnn_method", "order"]).drop(columns="order")
    wide.insert(0, "network", plots.titles(wide, ROW))
    wide["reader"] = wide["reader"].map(READERS)
    return wide.drop(columns=ROW).rename(columns={"cnn_method": "CNN", "reader": "read by"}).rename_axis(columns=None)


def tabulate_effective(runs: pd.DataFrame) -> pd.DataFrame:
    """How many images n views are worth, averaged logits, and what Kish's formula says from the largest n; a row a CNN and shift."""
    chosen = averaged(runs, [2, 5, 15, LARGE, dependent.VIEWS])
    if chosen.empty:
        return pd.DataFrame()
    wide = chosen.groupby([*CASE, "n"])["effective"].mean().unstack("n")
    correlation = correlation_within(wide[dependent.VIEWS], dependent.VIEWS)
    text = pd.DataFrame({f"n = {n}": [f"{worth:.2f} / {kish(n, r):.2f}" for worth, r in zip(wide[n], correlation)] for n in wide})
    found = wide.reset_index()
    text.insert(0, "CNN, views", case_names(found))
    return text.assign(limit=(1 / correlation).round(1).to_numpy())


def kish(n, correlation):
    """The effective number of n images whose outputs have this correlation in pairs: n / (1 + (n - 1) r) (Kish 1965)."""
    return n / (1 + (n - 1) * correlation)


def correlation_within(effective, n: int):
    """The correlation in pairs at which n images are worth `effective`: `kish` solved for it."""
    return (n / effective - 1) / (n - 1)
