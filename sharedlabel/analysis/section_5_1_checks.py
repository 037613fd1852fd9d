"""Section 5.1: what its verdicts rest on: runs that learned nothing, correlations over all rho, and the estimate of information."""
import pandas as pd

from sharedlabel.analysis import intervals, law, plots, section_5_1, sweet_spots


def without_idle(runs: pd.DataFrame) -> pd.DataFrame:
    """At how many n the best rho is surely inside by n/rho, and surely at an end by FLOPs, with and without the runs that learned nothing.

    A row a network that has such runs, which tell no information at any n: at which rho, how many of how many, and the counts.
    """
    rows = []
    for network, part in section_5_1.networks(runs).items():
        idle = part.groupby("run")["information_gain"].transform("max") == 0
        beside = part[part["rho"].isin(part.loc[idle, "rho"])]
        if not idle.any():
            continue
        row = {"network": network, "ρ": ", ".join(f"{rho:g}" for rho in sorted(set(beside["rho"]))),
               "learned nothing": f"{part.loc[idle, 'run'].nunique()} of {beside['run'].nunique()}"}
        for value, where, ends in (("relative_information", "inside by n/ρ", ["inside"]),
                                   ("gain_per_mflop", "at an end by FLOPs", ["lower_end", "upper_end"])):
            for name, own in (("with them", part), ("without", part[~idle])):
                spots = sweet_spots.find(own, value)
                row[f"{where}, {name}"] = f"{(spots[ends].max(axis=1) >= section_5_1.SURE).sum()} of {len(spots)} n"
        rows.append(row)
    return pd.DataFrame(rows)


def information_excess(runs: pd.DataFrame, laws: pd.DataFrame) -> pd.DataFrame:
    """By how many bits the information of `random` tuples is measured too high, by data set: `median` and `most` over runs and n, and
    `correction`, the median of what a correction for the number of tuples takes away (`metrics.information_gain_corrected`).

    The plug-in estimate is too high with few tuples, and more so with tuples that share test images. By how much the law tells (`laws`:
    `law.read_all(0)`), which knows what is true and what would be measured, were outputs normal.
    """
    found = section_5_1.curve_runs(runs).query("protocol == 'random'").astype({"n": float})
    found = found.assign(run=found["run"].map(law.digest)).merge(laws, on=["run", "n"])
    found["excess"] = found["measured_information"] - found["training_information"]
    found["correction"] = found["information_gain"] - found["information_gain_corrected"]
    columns = {"median": ("excess", "median"), "most": ("excess", "max"), "correction": ("correction", "median")}
    return found.groupby("dataset", sort=False).agg(**columns)


def describe_excess(runs: pd.DataFrame, laws: pd.DataFrame) -> str:
    """`information_excess` in a sentence; empty where the law knows none of the runs."""
    each = [f"{plots.TITLES[row.Index]} {row.median:.2f} ({row.most:.2f}, {row.correction:.2f})"
            for row in information_excess(runs, laws).itertuples()]
    return ("Information is estimated from counts, of tuples that share test images, and so comes out too high. By the law, "
            "were outputs normal, by so many bits, median of runs and n (in brackets the most, and what the usual correction for the "
            f"number of tuples takes away): {', '.join(each)}. n-accuracy has no such bias.") if each else ""


def tabulate_correlations(runs: pd.DataFrame) -> pd.DataFrame:
    """n-accuracy and information gain at each rho: their correlation over its runs and n, and what the largest n has of both (means)."""
    rows = []
    for network, part in section_5_1.networks(runs).items():
        for rho, own in part.groupby("rho"):
            both, last = own[["n_accuracy", "information_gain"]], own[own["n"] == own["n"].max()]
            of_runs = [intervals.correlation(each.to_numpy()) for _, each in both.groupby(own["run"])]
            rows.append({"network": network, "ρ": f"{rho:g}", "correlation": intervals.correlation(both.to_numpy()),
                         "of one run, least": min(of_runs), "n-accuracy (%)": last["per_cent"].mean(),
                         "information (bits)": last["information_gain"].mean()})
    return pd.DataFrame(rows)
