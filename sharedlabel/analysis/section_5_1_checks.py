"""Section 5.1: what its verdicts rest on: runs that learned nothing, and correlations over all rho."""
import pandas as pd

from sharedlabel.analysis import intervals, section_5_1, sweet_spots


def without_idle(runs: pd.DataFrame) -> pd.DataFrame:
    """At how many n the best rho is surely inside by n/rho, and surely at an end by FLOPs, with and without the runs that learned nothing.

    A row a network that has such runs, which tell no information at any n: at which rho, how many of how many, and the counts.
    """
    rows = []
    for network, part in section_5_1.judged_networks(runs).items():
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


def tabulate_correlations(runs: pd.DataFrame) -> pd.DataFrame:
    """n-accuracy and information gain at each rho: their correlation over its runs and n, and what the largest n has of both (means)."""
    rows = []
    for network, part in section_5_1.judged_networks(runs).items():
        for rho, own in part.groupby("rho"):
            both, last = own[["n_accuracy", "information_gain"]], own[own["n"] == own["n"].max()]
            of_runs = [intervals.correlation(each.to_numpy()) for _, each in both.groupby(own["run"])]
            rows.append({"network": network, "ρ": f"{rho:g}", "correlation": intervals.correlation(both.to_numpy()),
                         "of one run, least": min(of_runs), "n-accuracy (%)": last["per_cent"].mean(),
                         "information (bits)": last["information_gain"].mean()})
    return pd.DataFrame(rows)
