"""Section 5.3: its comparisons as the tables that the notebook shows: a column an n, an estimate with half its 95 % interval in a cell."""
import pandas as pd
from IPython.display import display

from sharedlabel.analysis import plots, report
from sharedlabel.analysis import section_5_3 as section
from sharedlabel.analysis import section_5_3_heads as heads
from sharedlabel.analysis import section_5_3_table_2 as table_2
from sharedlabel.analysis.comparisons import judge_all
from sharedlabel.analysis.intervals import CASE, PANEL, ROW, summary
from sharedlabel.analysis.report import format_count, format_estimate, format_summary
from sharedlabel.analysis.section_5_3_equal_cost import COSTS, spending_means
from sharedlabel.analysis.section_5_3_pruners import orders, runs_under
from sharedlabel.analysis.section_5_3_runs import (
    TABLE_2_N,
    Runs,
    concat,
    costs,
    each_panel,
    pairs_at,
    random_tuples,
    stated_panels,
)
from sharedlabel.runs import parameters

MARKS = {"holds": " ✓", "fails": " ✗", "cannot tell": ""}
HEADS = {"head_per_image": "head, per image", "head_tuple_mean": "head, tuple's mean"}
TRAININGS = {"frozen": "CNN frozen", "fine_tune": "CNN fine-tuned", "end_to_end": "end to end"}
BRIEF = {  # columns of `in_brief`
    ("as stated", "balanced_table_2"): "pruned as stated, minus averaging over Table 2's less pruned CNN",
    ("as stated", "balanced"): "as stated, minus averaging over its own CNN",
    ("unpruned", "head_tuple_mean_balanced"): "unpruned, minus the same head on each image, trained on tuples",
    ("unpruned", "head_per_image_balanced"): "unpruned, minus that head, trained on single images",
}
LEGEND = "✓ holds, ✗ fails, no mark: cannot tell"


def cells(found: pd.DataFrame) -> list[str]:
    """Each row's mean ± half its interval, and the mark of its verdict where `found` has one."""
    marks = [MARKS[verdict] for verdict in found["verdict"]] if "verdict" in found else [""] * len(found)
    return [text + mark for text, mark in zip(format_summary(found), marks)]


def by_n(found: pd.DataFrame, index: dict[str, list]) -> pd.DataFrame:
    """A table with a column an n ("n = 2"; "mean": over n) and a row for each value of `index` ({heading: a value a row of `found`})."""
    table = pd.DataFrame({**index, "n": found["n"].to_numpy(), "cell": cells(found)})
    wide = table.pivot_table(index=list(index), columns="n", values="cell", aggfunc="first", sort=False)
    wide = wide[sorted(wide.columns, key=lambda n: n or float("inf"))]
    return wide.rename(columns=head_of).rename_axis(columns=None).fillna("-")


def head_of(n: int) -> str:
    """The head of a column of one n; 0 is the mean over n."""
    return f"n = {n}" if n else "mean"


def comparison(found: pd.DataFrame) -> pd.DataFrame:
    """A comparison (COMPARISON) as a table, in points: a row a panel and pair; a method that is first in all pairs is in the heading."""
    others = [plots.TITLES[name] for name in found["variant"]]
    if found["one"].nunique() == 1:  # and a pair that is the only one is in the caption
        heading = f"{plots.TITLES[found['one'].iloc[0]]} minus"
        return by_n(found, {"panel": plots.titles(found)} | ({heading: others} if len(set(others)) > 1 else {}))
    pairs = [f"{plots.TITLES[one]} minus {other}" for one, other in zip(found["one"], others)]
    return by_n(found, {"panel": plots.titles(found), "one minus the other": pairs})


def show_comparison(found: pd.DataFrame, caption: str, collapsed: bool | None = None) -> None:
    """Display a comparison as a table; a long one is collapsed."""
    report.show_table(comparison(found), f"{caption}, in points ({LEGEND})", collapsed)


def opponents(found: pd.DataFrame, unit: str = "points") -> pd.DataFrame:
    """Where the CNN-LSTM stands in each panel: how many comparisons have pairs and are won and lost, and its least lead.

    found: `section.lstm_minus_methods`, in this unit.
    """
    rows = []
    for case, part in each_panel(found):
        verdicts, least = list(part["verdict"]), part.loc[part["mean"].idxmin()]
        rows.append({
            "panel": plots.case_title(case), "paired, of": f"{len(part)} of {len(section.opponents(case)) * len(TABLE_2_N)}",
            "it wins": verdicts.count("holds"), "loses": verdicts.count("fails"), "verdict": judge_all(verdicts),
            f"least lead, {unit}": format_estimate(least["mean"], least["low"], least["high"]),
            "against": f"{plots.TITLES[least['variant']]}, n = {least['n']}",
        })
    return pd.DataFrame(rows)


def show_verdict(claim_id: str, judged: dict[str, pd.DataFrame]) -> None:
    """Display a claim's words, its verdict and the rule that decides it; judged: the cases of every claim by its id."""
    claim = next(claim for claim in section.CLAIMS if claim.id == claim_id)
    display(report.describe_verdict(claim, claim.verdict(judged[claim_id])))


def costs_of_lstm(runs: Runs) -> pd.DataFrame:
    """Weights and FLOPs an image (least and most over n) of the CNN-LSTM and of balanced at Table 2's rho for averaging."""
    rows = []
    for case, part in each_panel(random_tuples(runs)):
        names = ["lstm_balanced", "balanced_table_2"]
        if set(names) <= set(part["variant"]):
            own, other = costs(part, *names), costs(part, *reversed(names))
            rows.append({"panel": plots.case_title(case), "its weights": own["weights"], "of balanced": other["weights"],
                         "its FLOPs an image": span(own["flops"]), "of balanced ": span(other["flops"])})
    return pd.DataFrame(rows)


def span(values: pd.Series) -> str:
    """The least and the most of some numbers, or the one that all are."""
    return " to ".join(dict.fromkeys(format_count(value) for value in (values.min(), values.max())))


def lead_in_brief(averaged: pd.DataFrame, controls: pd.DataFrame) -> pd.DataFrame:
    """How far each CNN-LSTM is above each reference, in the mean over n: a row a panel and CNN.

    averaged, controls: `section.lstm_minus_averaged` and `section.lstm_minus_controls`.
    """
    found = pd.concat([averaged, controls[controls["n"] == 0]], ignore_index=True)
    against = found["variant"].where(found["variant"].str.startswith("head"), "averaged").str.removesuffix("_balanced")
    heading = {"averaged": "averaged logits"} | HEADS
    table = pd.DataFrame({
        "panel": plots.titles(found), "CNN": found["one"].str.removeprefix("lstm_"),
        "against": against.str.removesuffix("_baseline").map(heading),
        "cell": cells(found),
    })
    wide = table.pivot_table(index=["panel", "CNN"], columns="against", values="cell", aggfunc="first", sort=False)
    return wide.reindex(columns=list(heading.values())).rename_axis(columns=None).fillna("-")


def in_brief(runs: Runs) -> pd.DataFrame:
    """The CNN-LSTM on Table 2's balanced CNNs minus what the section compares it with, in points, means over n: a row a network."""
    found = pd.concat([section.lstm_minus_averaged(runs, "balanced_table_2"), section.lstm_minus_averaged(runs),
                       section.lstm_minus_controls(runs)], ignore_index=True)
    stated = {case[:3]: case[3] for case in stated_panels()}
    rho = pd.Series([stated.get(case) for case in found[ROW].itertuples(index=False, name=None)], found.index)
    shown = (found["head_rho"].eq(0) | found["head_rho"].eq(rho)) & rho.notna()
    found = found[shown & (found["one"] == "lstm_balanced") & (found["n"] == 0)]
    head = found["head_rho"].eq(0).map({True: "unpruned", False: "as stated"})
    column = [BRIEF.get(key) for key in zip(head, found["variant"])]
    table = pd.DataFrame({"network": plots.titles(found, ROW), "against": column, "cell": cells(found.drop(columns="verdict"))})
    wide = table.pivot_table(index="network", columns="against", values="cell", aggfunc="first", sort=False)
    return wide.reindex(columns=list(BRIEF.values())).rename_axis(columns=None).fillna("-")


def pooled(found: pd.DataFrame) -> pd.DataFrame:
    """`section.pool_unpruned` as a table: a row a control."""
    reach = [f"{format_estimate(row.least)} to {format_estimate(row.most)}" for row in found.itertuples()]
    return pd.DataFrame({"control": found["control"].map(HEADS), "difference, mean over networks": format_summary(found),
                         "of one network": reach, "networks": found["strata"], "seeds": found["seeds"]})


def sharing_minus_head(found: pd.DataFrame) -> pd.DataFrame:
    """`section.sharing_minus_head` as a table: a row a panel and CNN."""
    return by_n(found, {"panel": plots.titles(found), "CNN": found["one"].str.removeprefix("lstm_")})


def heads_by_cnn(found: pd.DataFrame) -> pd.DataFrame:
    """`section.heads_by_cnn` as a table: a row a panel and head."""
    return by_n(found, {"panel": plots.titles(found), "head": found["one"].str.removesuffix("_balanced").map(HEADS)})


def parts_of_the_leads(leads: pd.DataFrame) -> pd.DataFrame:
    """`section.leads` as a table: the lead over averaged logits, what the head brings alone and what sharing adds, a column an n."""
    parts = {"lead": "lead over averaged logits", "head": "of which the head alone", "sharing": "of which sharing"}
    table = plots.in_order(leads.melt([*PANEL, "one", "n"], list(parts), "part", "points").sort_values("one", kind="stable"))
    index = {"panel": plots.titles(table), "method": table["one"].map(plots.TITLES), "points": table["part"].map(parts)}
    table = table.assign(**index, cell=table["points"].map("{:+.1f}".format).str.replace("-", "−"))
    wide = table.pivot_table(index=list(index), columns="n", values="cell", aggfunc="first", sort=False)
    return wide.rename_axis(columns=None).fillna("-")


def heads_minus_averaged(runs: Runs, found: pd.DataFrame) -> pd.DataFrame:
    """`section.head_minus_averaged` as a table, with what the head costs beside its CNN."""
    extra = {}
    for case, part in each_panel(random_tuples(runs)):
        for cnn in ("balanced", "baseline"):
            names = [f"head_per_image_{cnn}", cnn]
            if len(pairs_at(part, names[0], names[1:])):
                own, other = costs(part, *names), costs(part, *reversed(names))
                more = max(own["flops"] / other["flops"]) - 1
                extra[plots.case_title(case), cnn] = f"{own['weights'] - other['weights']:,.0f}, {more:.1%}"
    wide = by_n(found, {"panel": plots.titles(found), "CNN": found["variant"]})
    wide.insert(0, "weights, FLOPs more", [extra[index] for index in wide.index])
    return wide


def sweep(table: pd.DataFrame, minus: bool = False) -> pd.DataFrame:
    """`section_5_3_heads.head_sweep` as a table, a column a rho of the head: n-accuracy in per cent, or the CNN-LSTM minus each control."""
    value = "difference" if minus else "per_cent"
    found = summary(heads.sweep_curves(table, minus), value, [*ROW, "n", "variant", "head_rho"])
    cells = found.assign(row=plots.titles(found, ROW), method=found["variant"].map(plots.TITLES), cell=format_summary(found))
    wide = cells.pivot_table(index=["row", "n", "method"], columns="head_rho", values="cell", aggfunc="first", sort=False)
    return wide.rename(columns="{:g}".format).rename_axis(columns=None)


def trained_n(table: pd.DataFrame) -> pd.DataFrame:
    """The means of `section_5_3_heads.by_trained_n` over seeds, in per cent: PANEL, `train_n`, n, mean, low, high, seeds."""
    return summary(table, "per_cent", [*PANEL, "train_n", "n"])


def training(runs: Runs, one: str, other: str, rows: pd.DataFrame) -> pd.DataFrame:
    """`section.by_training` as a table; rows: the claim's, for their verdicts."""
    found = section.by_training(runs, one, other)
    return pd.DataFrame({
        "panel": plots.titles(found), "n": found["n"], "difference, points": format_summary(found), "pairs": found["seeds"],
        f"epochs, {TRAININGS[one]}": found["epochs"], f"epochs, {TRAININGS[other]}": found["other_epochs"],
        "verdict": list(rows["verdict"]),
    })


def hide_intervals_of_two(found: pd.DataFrame, seeds: pd.Series) -> pd.DataFrame:
    """`found` with nan for `low` and `high` where there are fewer than three seeds: of two an interval tells nothing."""
    return found.assign(**{end: found[end].where(seeds > 2) for end in ("low", "high")})


def orders_under(runs: Runs, pruner: str) -> pd.DataFrame:
    """`section_5_3_pruners.orders` as a table: a row a pair of methods, a column a pruner and n; a star: significant at 5 % (Holm)."""
    found, frames = orders(runs, pruner), []
    for side, name in (("synflow_", "SynFlow"), ("", plots.TITLES[pruner])):
        own = found[[*PANEL, "one", "variant", "n"]].assign(**{key: found[side + key] for key in ("mean", "low", "high")})
        own = hide_intervals_of_two(own, found[f"{side}seeds"])
        stars = ["*" if significant else "" for significant in found[f"{side}significant"]]
        frames.append(own.assign(side=name, cell=[text + star for text, star in zip(format_summary(own), stars)]))
    table = pd.concat(frames, ignore_index=True)
    if table.empty:
        return table
    minus = [f"{plots.TITLES[one]} minus {plots.TITLES[other]}" for one, other in zip(table["one"], table["variant"])]
    table = table.assign(panel=plots.titles(table), points=minus, column=table["side"] + ", n = " + table["n"].astype(str))
    return table.pivot_table(index=["panel", "points"], columns="column", values="cell", aggfunc="first", sort=False).fillna("-")


def accuracies_under(runs: Runs, pruner: str) -> pd.DataFrame:
    """n-accuracies in per cent under another pruner, at the n that its CNN-LSTM has."""
    found = []
    for case, _ in each_panel(random_tuples(runs)):
        own = runs_under(runs, pruner, case)
        found.append(summary(own, "per_cent", [*PANEL, "variant", "n"]) if len(own) else own)
    table = concat(found, pd.DataFrame(columns=[*PANEL, "variant", "n", "mean", "low", "high", "seeds"]))
    table = hide_intervals_of_two(table, table["seeds"])
    return by_n(table, {"panel": plots.titles(table), "method": table["variant"].map(plots.TITLES)})


def printed(beside: pd.DataFrame, variants: list[str]) -> pd.DataFrame:
    """`section_5_3_table_2.beside_printed` as a table: the paper's line of a variant where it has one, and below it ours."""
    found = plots.in_order(pd.concat([beside[beside["variant"] == variant] for variant in variants]))
    index = {"panel": plots.titles(found), "method": found["variant"].map(plots.TITLES)}
    ours = by_n(found.drop(columns="paper"), {**index, "line": ["ours"] * len(found)})
    paper = found[found["paper"].notna()]
    method, cell = paper["variant"].map(plots.TITLES), paper["paper"].map("{:.1f}".format)
    cells = paper.assign(panel=plots.titles(paper), method=method, line="paper", cell=cell)
    theirs = cells.pivot_table(index=["panel", "method", "line"], columns="n", values="cell", aggfunc="first", sort=False)
    theirs = theirs.rename(columns=head_of)
    keys = list(dict.fromkeys(index[:2] for index in ours.index))
    both = pd.concat([theirs, ours])
    return both.loc[[(*key, line) for key in keys for line in ("paper", "ours") if (*key, line) in both.index]].fillna("-")


def distances(beside: pd.DataFrame) -> pd.DataFrame:
    """`section_5_3_table_2.distances` as a table: a row a panel and CNN."""
    found = table_2.distances(beside)
    head, cnn = (found["variant"].astype(str).str.rsplit("_", n=1).str[i] for i in (0, 1))
    heading = {"lstm": "CNN-LSTM"} | HEADS
    table = found.assign(panel=plots.titles(found), CNN=cnn, head=head.map(heading), points=found["points"].map("{:.1f}".format))
    wide = table.pivot_table(index=["panel", "CNN"], columns="head", values="points", aggfunc="first", sort=False)
    return wide.reindex(columns=list(heading.values())).rename_axis(columns=None).fillna("-")


def readings(found: pd.DataFrame) -> pd.DataFrame:
    """`section_5_3_table_2.readings` as a table."""
    described = [table_2.describe_reading(row) for _, row in found.iterrows()]
    return pd.DataFrame({
        "row": plots.titles(found, ROW), "by": found["head"].map({"lstm": "CNN-LSTM"} | HEADS), "reading: a head": described,
        "cells": found["cells"], "seeds": found["seeds"], "points off": found["points"].map("{:.1f}".format),
        "the fullest there": found["fullest"].map("{:.1f}".format), "nearest": found["nearest"].map({True: "yes", False: ""}),
    })


def as_stated(found: pd.DataFrame) -> pd.Series:
    """Which `section_5_3_table_2.readings` are what the paper says: the stated rho of the head, SynFlow, and default settings."""
    stated = {case[:3]: case[3] for case in stated_panels()}
    rho = pd.Series([stated[row] for row in found[ROW].itertuples(index=False, name=None)], found.index, dtype=float)
    default = pd.Series(True, found.index)
    for name in table_2.READING[2:]:
        default &= found[name] == parameters.default(name)
    return default & (found["head_rho"] == rho) & (found["head_pruner"] == "synflow")


def pruned_less(runs: Runs) -> pd.DataFrame:
    """`section_5_3_table_2.pruned_less` as a table."""
    found = plots.in_order(table_2.pruned_less(runs), CASE)
    cnn = [f"{variant}, ρ = {rho:g}: {weights:,.0f}" for variant, rho, weights in zip(found["variant"], found["rho"], found["weights"])]
    return by_n(found, {"network": plots.titles(found, CASE), "CNN: weights": cnn, "FLOPs an image": found["flops"].map(format_count)})


def left_of_heads(runs: Runs) -> pd.DataFrame:
    """`section_5_3_heads.live_weights` of the CNN-LSTM and the head alone, per image, on the balanced CNN, as a table."""
    found = plots.in_order(heads.live_weights(runs))
    found = found[found["variant"].isin(["lstm_balanced", "head_per_image_balanced"])]
    method = [f"{plots.TITLES[variant]}, n = {n}".replace(" on balanced CNN", "") for variant, n in zip(found["variant"], found["train_n"])]
    counts = {name: found[name].map("{:,.0f}".format) for name in heads.PART_NAMES}
    return pd.DataFrame({"panel": plots.titles(found), "head": method, **counts})


def spending(runs: Runs) -> pd.DataFrame:
    """`section_5_3_equal_cost.spending_means` as a table: a row a method and rho, the n of TABLE_2_N as columns."""
    found = spending_means(runs)
    found = plots.in_order(found.assign(**dict(zip(ROW, zip(*found["case"])))), ROW) if len(found) else found
    series = [f"{plots.TITLES[name]}, ρ = {at:g}" for name, at in zip(found["series"], found["at"])]
    weights, flops = (found.groupby(["case", "series", "at"])[name].transform("mean") for name in COSTS)
    price = [f"{format_count(weight)}, {format_count(flop)}" for weight, flop in zip(weights, flops)]
    index = {"CNN": [plots.case_title(case) for case in found["case"]], "method": series, "weights, FLOPs": price}
    return by_n(found, index)


def equal_cost_in_brief(found: pd.DataFrame) -> pd.DataFrame:
    """Of `section_5_3_equal_cost.at_equal_cost` the comparisons with SynFlow's CNNs, of the CNN-LSTM and the head alone, per image."""
    return found[found["variant"].astype(str).str.contains("SynFlow") & found["one"].isin(["lstm_balanced", "head_per_image_balanced"])]


def at_a_higher_rate(runs: Runs) -> pd.DataFrame:
    """`section_5_3_heads.higher_rate` as a table."""
    found = heads.higher_rate(runs)
    default = parameters.default("head_learning_rate")
    return pd.DataFrame({
        "panel": plots.titles(found), "n": found["n"], "learning rate": found["rate"].map("{:g}".format),
        "n-accuracy, %": found["per_cent"], "epochs": found["epochs"],
        f"at {default:g}, %": found["per_cent_at_default"], "epochs ": found["epochs_at_default"], "seeds": found["seeds"],
    })


def other_minus_usual(runs: Runs, setting: str) -> pd.DataFrame:
    """`section_5_3_heads.other_minus_usual` as a table."""
    found = plots.in_order(heads.other_minus_usual(runs, setting))
    cnns = list(found["variant"].str.removeprefix("lstm_"))
    values = ["n" if value == n else f"{value:.0f}" for value, n in zip(found["value"], found["n"])]
    seeds = found.groupby([*PANEL, "variant", pd.Series(values, found.index)])["seeds"]
    pairs = [" to ".join(dict.fromkeys((f"{least}", f"{most}"))) for least, most in zip(seeds.transform("min"), seeds.transform("max"))]
    index = {"panel": plots.titles(found), "CNN": cnns} | ({setting: values} if len(set(values)) > 1 else {})
    return by_n(found, index | {"pairs": pairs})
