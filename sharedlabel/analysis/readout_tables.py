"""Tables of the readouts: the ladder, the gain of LDA, what the last biases bring, images needed, and the paper's rows."""
import numpy as np
import pandas as pd

from sharedlabel import ROOT
from sharedlabel.analysis import intervals, plots, report
from sharedlabel.analysis.intervals import ROW
from sharedlabel.analysis.readout import OFFSETS, RUNGS, TABLE_2_N, beside_balanced, select_ladder


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """n-accuracy of every rung on every CNN, for the CSV: `intervals.summary` by ROW, cnn_method, rung and n."""
    return intervals.summary(runs, "accuracy", [*ROW, "cnn_method", "rung", "n"])


def tabulate_ladder(runs: pd.DataFrame, case: tuple) -> pd.DataFrame:
    """The ladder on one CNN (ROW and cnn_method), cheapest first as RUNGS are: weights, MACs at n = 5, n-accuracy at TABLE_2_N, seeds."""
    part = select_ladder(runs, case)
    if part.empty:
        return pd.DataFrame()
    found = intervals.summary(part, "accuracy", ["rung", "n"])
    found = found.assign(text=report.format_summary(found)).pivot(index="rung", columns="n", values="text").add_prefix("n = ").fillna("-")
    costs = part[part["n"] == 5].groupby("rung").agg(weights=("weights", "mean"), MACs=("macs", "mean"))
    order = [rung for rung in RUNGS if rung in found.index]
    table = costs.round().join(found, how="right").loc[order].rename(index=RUNGS).rename_axis(index="readout", columns=None)
    return table.reset_index()


def paper_rows() -> pd.DataFrame:
    """Table 2 of the paper: dataset, model, method, cnn_training, rho, head_rho, params_remaining and n2 to n40."""
    return pd.read_csv(ROOT / "paper" / "table_2.csv")


def paper_names(found: pd.DataFrame) -> list[str]:
    """What some of `paper_rows` are called."""
    return [plots.TITLES[f"lstm_{row.cnn_training}"] if row.method == "cnn_lstm" else f"{row.cnn_training} CNN, averaged logits"
            for row in found.itertuples()]


def tabulate_paper(dataset: str, model: str) -> pd.DataFrame:
    """The paper's rows of one network."""
    found = paper_rows()[lambda table: (table["dataset"] == dataset) & (table["model"] == model)]
    columns = {f"n{n}": f"n = {n}" for n in TABLE_2_N}
    found = found.assign(row=paper_names(found)).rename(columns=columns | {"params_remaining": "weights"})
    return found[["row", "weights", *columns.values()]]


def tabulate_gain(runs: pd.DataFrame, ns: tuple[int, ...] = (1, 5, 40)) -> pd.DataFrame:
    """Averaged logits and LDA side by side on every CNN, means over seeds: a row a CNN."""
    chosen = runs[runs["rung"].isin(["averaged", "lda"]) & runs["n"].isin(ns)]
    both = chosen.groupby([*ROW, "cnn_method", "seed", "n"])["rung"].transform("nunique") == 2
    if not both.any():
        return pd.DataFrame()
    means = chosen[both].groupby([*ROW, "cnn_method", "n", "rung"])["accuracy"].mean().unstack("rung")
    text = means["averaged"].map("{:.1f}".format) + " → " + means["lda"].map("{:.1f}".format)
    text = text.unstack("n").add_prefix("n = ").reset_index()
    rows = plots.cases(text, ROW)
    text = text.iloc[sorted(range(len(text)), key=lambda i: (rows.index(tuple(text[ROW].iloc[i])), text["cnn_method"].iloc[i]))]
    text.insert(0, "network", plots.titles(text, ROW))
    return text.drop(columns=ROW).rename(columns={"cnn_method": "CNN"}).rename_axis(columns=None).reset_index(drop=True)


def tabulate_offsets(runs: pd.DataFrame, n: int) -> pd.DataFrame:
    """n-accuracy by what is averaged, one of OFFSETS, a row a network."""
    found = beside_balanced(runs)[lambda table: table["n"] == n]
    found = found[found["rung"].isin(OFFSETS)]
    if found.empty:
        return pd.DataFrame()
    found = intervals.summary(found, "accuracy", [*ROW, "rung"])
    wide = found.assign(text=report.format_summary(found)).pivot(index=ROW, columns="rung", values="text")
    wide = wide.reindex(columns=[rung for rung in OFFSETS if rung in wide], index=plots.cases(found, ROW)).fillna("-")
    wide.insert(0, "network", [plots.case_title(case) for case in wide.index])
    return wide.rename(columns=OFFSETS).rename_axis(columns=None).reset_index(drop=True)


def tabulate_needed(found: pd.DataFrame) -> pd.DataFrame:
    """The median over seeds of the images `needed`, "measured / predicted", by network and rung; "> 80" where that is not reached."""
    means = found.groupby([*ROW, "rung"])[["measured", "predicted"]].median().reset_index()
    texts = [["> 80" if np.isinf(value) else f"{value:.1f}" for value in means[name]] for name in ("measured", "predicted")]
    means = means.assign(text=[" / ".join(both) for both in zip(*texts)])
    wide = means.pivot(index=ROW, columns="rung", values="text").reindex(columns=["averaged", "lda"]).fillna("-").reset_index()
    wide.insert(0, "network", plots.titles(wide, ROW))
    return wide.drop(columns=ROW).rename(columns=RUNGS).rename_axis(columns=None)
