"""Section 5.3: the comparisons between the methods, in pairs by seed and in points of n-accuracy, and the claims that they decide.

A comparison is a table with the columns COMPARISON: how far the variant `one` is above the other, `variant`, at one n, and the verdict on
that among all comparisons of the table (`comparisons.judge_each`). A claim's rows are made from it.
"""
import numpy as np
import pandas as pd

from sharedlabel.analysis import comparisons, intervals, plots
from sharedlabel.analysis.comparisons import NEGLIGIBLE, Claim
from sharedlabel.analysis.intervals import CASE, HEAD_MATCHED, PANEL, ROW
from sharedlabel.analysis.section_5_3_equal_cost import claim_head_worth_its_weights, claim_lstm_worth_its_weights
from sharedlabel.analysis.section_5_3_pruners import claim_order, claim_synflow_best
from sharedlabel.analysis.section_5_3_runs import (
    CNNS,
    Runs,
    as_cases,
    at_defaults,
    at_own_n,
    compare_panels,
    concat,
    costs,
    each_panel,
    mean_differences,
    pairs_at,
    random_tuples,
    rho_for_averaging,
    stated_panels,
    with_mean_over_n,
)


def opponents(case: tuple) -> list[str]:
    """The paper's other methods in one panel; balanced is one opponent where the CNN's rho is Table 2's for averaging."""
    others = [variant for variant in plots.VARIANTS if variant != "lstm_balanced" and not variant.startswith("head")]
    if case[2] == rho_for_averaging().get(case[:2]):
        others.remove("balanced")  # the same runs as balanced_table_2
    return others


def lstm_minus_methods(runs: Runs, pruned_head: bool, value: str = "per_cent") -> pd.DataFrame:
    """The CNN-LSTM on the balanced CNN, its head pruned or not, minus each of the paper's other methods; `value` is compared."""
    table = random_tuples(runs)
    return compare_panels(table[(table["head_rho"] > 0) == pruned_head], lambda case, part: [
        mean_differences(pairs_at(part, "lstm_balanced", opponents(case), value=value), "lstm_balanced")])


def claim_lstm_costs_less(runs: Runs) -> pd.DataFrame:
    """The CNN-LSTM's weights and FLOPs an image over those of balanced at Table 2's rho for averaging, its head pruned as the table states.

    FLOPs differ from n to n, as recurrent weights are used between two images: the ratio is the one least favourable to the LSTM.
    """
    rows, stated = [], stated_panels()
    for case, part in each_panel(random_tuples(runs)):
        if case not in stated or not {"lstm_balanced", "balanced_table_2"} <= set(part["variant"]):
            continue
        own, other = (costs(part, *pair) for pair in (("lstm_balanced", "balanced_table_2"), ("balanced_table_2", "lstm_balanced")))
        for name, ratio in {"weights": own["weights"] / other["weights"], "FLOPs": own["flops"].max() / other["flops"].min()}.items():
            verdict = "cannot tell" if np.isnan(ratio) else "holds" if ratio < 1 else "fails"
            row = {"case": f"{plots.case_title(case)}: {name}", "n": "every n", "estimate": ratio}
            rows.append(row | {"seeds": own["seeds"], "verdict": verdict})
    return comparisons.claim_rows(rows)


def lstm_by_cnn(runs: Runs) -> pd.DataFrame:
    """The CNN-LSTM on the balanced CNN minus the one on the baseline CNN, at every rho of the head."""
    return compare_panels(random_tuples(runs, every_head=True), lambda case, part: [
        mean_differences(pairs_at(part, "lstm_balanced", ["lstm_baseline"], heads=True), "lstm_balanced")])


def heads_by_cnn(runs: Runs) -> pd.DataFrame:
    """The same of each head alone, which tells whether the LSTM gains from the balanced CNN or any head does."""
    return compare_panels(random_tuples(runs, every_head=True), lambda case, part: [
        mean_differences(pairs_at(part, one, [other], heads=True), one) for one, other in zip(*map(controls_of, CNNS))])


def controls_of(cnn: str) -> list[str]:
    """The controls of a CNN-LSTM on this CNN: the same head on single images, trained per image and on the tuple's mean output."""
    return [f"head_per_image_{cnn}", f"head_tuple_mean_{cnn}"]


def lstm_minus_controls(runs: Runs) -> pd.DataFrame:
    """The CNN-LSTM minus each of its controls, at each n and in the mean over n."""
    return compare_panels(random_tuples(runs, every_head=True), lambda case, part: [
        mean_differences(with_mean_over_n(pairs_at(part, f"lstm_{cnn}", controls_of(cnn), heads=True)), f"lstm_{cnn}") for cnn in CNNS])


def claim_beats_head(runs: Runs, control: str) -> pd.DataFrame:
    """The cases of the claim that the CNN-LSTM is ahead of the same head on each image alone; `control` says how that was trained.

    One number a panel, the mean over n (or the one n that there is): the heads of all n read the same CNNs. And one for the
    unpruned heads of all networks with two seeds or more: if it is ahead on each, so it is in their mean.
    """
    found, together = lstm_minus_controls(runs), pool_unpruned(runs)
    found, together = found[found["variant"].astype(str).str.startswith(control)], together[together["control"] == control]
    found = found[(found["n"] == 0) | (found.groupby([*PANEL, "one", "variant"])["n"].transform("nunique") == 1)]
    controls = (together["control"] + "_balanced").map(plots.TITLES)
    cases = [*as_cases(found)["case"], *("mean of networks, unpruned heads: CNN-LSTM minus " + controls)]
    found = concat([found, together.assign(n=0)], found)
    return comparisons.as_cases(found, cases, comparisons.judge_each(found), n=[n or "mean over n" for n in found["n"]])


def pool_unpruned(runs: Runs) -> pd.DataFrame:
    """The CNN-LSTM with an unpruned head minus each control, the mean over networks: `control` and the columns of `intervals.stratified`.

    A network and seed is one value, the mean over its CNNs (by rho and training) and n that each of its seeds has. Networks that lack
    an n that another has are left out.
    """
    table, pairs = random_tuples(runs, every_head=True), []
    for _, part in each_panel(table[table["head_rho"] == 0]):
        for cnn in CNNS:
            own = pairs_at(part, f"lstm_{cnn}", controls_of(cnn), heads=True)
            pairs.append(own.assign(control=own["variant"].str.removesuffix(f"_{cnn}"), cnn=cnn))
    each = concat(pairs, pd.DataFrame(columns=[*ROW, "seed", "control", "cnn", "n", "difference"]))
    seeds, all_seeds = (each.groupby([*CASE, "control", *more])["seed"].transform("nunique") for more in (["rho", "cnn", "n"], []))
    each = each[seeds == all_seeds].assign(network=lambda own: own["dataset"] + " " + own["model"])
    ns, all_ns = (each.groupby(["control", *more])["n"].transform("nunique") for more in (["network"], []))
    each = each[ns == all_ns].groupby(["network", "seed", "control"], as_index=False)["difference"].mean()
    return intervals.stratified(each.astype({"difference": float}), "difference", ["network"], ["control"])


def parts_of_the_lead(part: pd.DataFrame, cnn: str) -> pd.DataFrame:
    """The two parts of the LSTM's lead over averaged logits, by seed and n, in points.

    `head`: the head alone, trained on the tuple's mean, minus its CNN's averaged logits; `sharing`: the LSTM minus that head.
    """
    control = f"head_tuple_mean_{cnn}"
    sharing = comparisons.paired_differences(part, f"lstm_{cnn}", control, "per_cent", by="variant", matched=HEAD_MATCHED)
    head = comparisons.paired_differences(part, control, cnn, "per_cent", by="variant")
    columns = [*ROW, "seed", "n", "difference"]
    return sharing[columns].rename(columns={"difference": "sharing"}).merge(head[columns].rename(columns={"difference": "head"}))


def leads(runs: Runs) -> pd.DataFrame:
    """The parts of every CNN-LSTM's lead over averaged logits, means over seeds: PANEL, `one`, n, `lead`, `head`, `sharing`, `seeds`."""
    rows = []
    for case, part in each_panel(random_tuples(runs, every_head=True)):
        for cnn in CNNS:
            for n, own in parts_of_the_lead(part, cnn).groupby("n"):
                head, sharing = own["head"].mean(), own["sharing"].mean()
                parts = {"lead": head + sharing, "head": head, "sharing": sharing, "seeds": len(own)}
                rows.append(dict(zip(PANEL, case)) | {"one": f"lstm_{cnn}", "n": n} | parts)
    return pd.DataFrame(rows, columns=[*PANEL, "one", "n", "lead", "head", "sharing", "seeds"])


def sharing_minus_head(runs: Runs) -> pd.DataFrame:
    """What sharing adds minus what the head brings alone, where the CNN-LSTM is above averaged logits by its own interval."""
    def compare(case: tuple, part: pd.DataFrame) -> list[pd.DataFrame]:
        found = []
        for cnn in CNNS:
            pairs = parts_of_the_lead(part, cnn).assign(variant="sharing minus head")
            lead = mean_differences(pairs.assign(difference=pairs["head"] + pairs["sharing"]), f"lstm_{cnn}")
            pairs = pairs[pairs["n"].isin(lead.loc[lead["low"] > 0, "n"])]
            found.append(mean_differences(pairs.assign(difference=pairs["sharing"] - pairs["head"]), f"lstm_{cnn}"))
        return found

    return compare_panels(random_tuples(runs, every_head=True), compare)


def lstm_minus_averaged(runs: Runs, other: str = "") -> pd.DataFrame:
    """The CNN-LSTM minus its own CNN's averaged logits, or minus the method `other`, in the mean over n."""
    def compare(case: tuple, part: pd.DataFrame) -> list[pd.DataFrame]:
        found = [mean_differences(with_mean_over_n(pairs_at(part, f"lstm_{cnn}", [other or cnn])), f"lstm_{cnn}") for cnn in CNNS]
        return [each[each["n"] == 0] for each in found]

    return compare_panels(random_tuples(runs, every_head=True), compare)


def head_minus_averaged(runs: Runs) -> pd.DataFrame:
    """The head alone, trained per image, minus its own CNN's averaged logits."""
    return compare_panels(random_tuples(runs), lambda case, part: [
        mean_differences(pairs_at(part, f"head_per_image_{cnn}", [cnn]), f"head_per_image_{cnn}") for cnn in CNNS])


def graphs_minus_others(runs: Runs) -> pd.DataFrame:
    """Each graph minus averaged logits of both CNNs, and minus two methods to choose from instead."""
    return compare_panels(random_tuples(runs), lambda case, part: [
        mean_differences(pairs_at(part, graph, others), graph) for graph in ("graph_embedding", "graph_neuron")
        for others in (["baseline", "balanced"], ["balanced_table_2", "head_per_image_balanced"])])


def by_training(runs: Runs, one: str, other: str) -> pd.DataFrame:
    """The CNN-LSTM with its CNN trained as `one` minus as `other` (`cnn_training`): as a comparison,
    with `epochs`, `other_epochs` and `room`.

    epochs: means over seeds, of a CNN that was trained by itself and of its head ("102 + 125"). room: by how many points the other side
    lies below 100 %. For the verdict a run that is behind its partner and stopped at the limit, so that it might have come further,
    counts as level with it.
    """
    table = runs.measured[(runs.measured["protocol"] == "random") & (runs.measured["pruner"] == "synflow")]
    table = at_own_n(at_defaults(table[table["variant"] == "lstm_balanced"], ("cnn_training",)))
    pairs = comparisons.paired_differences(table, one, other, "per_cent", by="cnn_training", matched=HEAD_MATCHED)
    run = [*PANEL, "n", "seed", "cnn_training"]
    limited = set(table.loc[table["at_limit"], run].itertuples(index=False, name=None))
    behind = pairs.assign(cnn_training=np.where(pairs["difference"] > 0, other, one))[run]
    level = [each in limited for each in behind.itertuples(index=False, name=None)]
    pairs = pairs.assign(at_best=pairs["difference"].mask(np.array(level, bool), 0.0))
    found, at_best, levels = (intervals.summary(pairs, value, [*PANEL, "n"]) for value in ("difference", "at_best", other))
    found = found.assign(verdict=comparisons.judge_each(at_best), room=100 - levels["mean"])
    rows = []
    for each in found.itertuples():
        own = table.merge(pairs.loc[(pairs[PANEL] == list(each[1:5])).all(axis=1) & (pairs["n"] == each.n), [*PANEL, "n", "seed"]])
        rows.append({"epochs": epochs(runs, own, one), "other_epochs": epochs(runs, own, other)})
    return found.join(pd.DataFrame(rows, found.index, columns=["epochs", "other_epochs"]))


def epochs(runs: Runs, own: pd.DataFrame, training: str) -> str:
    """The mean epochs of the heads trained as `training`, and before them those of their CNN where it was trained by itself."""
    own = own[own["cnn_training"] == training]
    cnn = runs.at_default[runs.at_default["pruner"] == "synflow"].merge(own[[*ROW, "seed"]])
    cnn = cnn[cnn["variant"] == "balanced"].drop_duplicates("run")
    return ("" if training == "end_to_end" else f"{cnn['epochs'].mean():.0f} + ") + f"{own['epochs'].mean():.0f}"


def claim_fine_tuning_negligible(runs: Runs) -> pd.DataFrame:
    """The cases of the claim that fine-tuning the CNN afterwards makes no considerable difference."""
    found = by_training(runs, "fine_tune", "frozen")
    verdicts = comparisons.judge_each_negligible(found, NEGLIGIBLE, found["room"])
    return as_cases(found.assign(verdict=verdicts), lambda row: "CNN fine-tuned minus frozen")


EVERY = "each panel and n; one holds by its own paired 95 % t-interval and fails where it is significant at 5 % among all (Holm)"
IN_PANELS = ("in each panel and, unpruned, in the mean of networks; one holds by the 95 % interval of the mean over n, and fails where "
             "it is significant at 5 % among all (Holm)")
WORTH = f"above zero against the least pruned CNN that costs no more, baseline by SynFlow and by SNIP, balanced by SynFlow, in {EVERY}"
CLAIMS = [
    Claim("lstm-beats-all", "section 5.3, Table 2",
          "The CNN-LSTM, pruned as stated, beats all other methods at Table 2's n",
          "points", f"on the balanced CNN, above zero against each other method, in {EVERY}",
          lambda runs: as_cases(lstm_minus_methods(runs, True))),
    Claim("lstm-beats-all-relative", "section 5.3, Figures 9 and 22",
          "The CNN-LSTM, pruned as stated, is best in relative information, too",
          "bits", f"above zero against each other method, in {EVERY}",
          lambda runs: as_cases(lstm_minus_methods(runs, True, "relative_information"))),
    Claim("lstm-unpruned-beats-all", "ours", "With its head not pruned the CNN-LSTM beats all other methods at Table 2's n",
          "points", f"above zero against each other method, in {EVERY}", lambda runs: as_cases(lstm_minus_methods(runs, False))),
    Claim("lstm-costs-less", "section 5.3, Table 2",
          "The CNN-LSTM, pruned as stated, needs fewer weights and FLOPs than averaging the balanced CNN", "times",
          "both ratios to balanced at Table 2's ρ for averaging lie below 1, with the head pruned as Table 2 states",
          claim_lstm_costs_less),
    Claim("sharing-adds", "ours", "Reading the images together adds to what the same head, trained on the same tuples, does on each alone",
          "points", f"above zero {IN_PANELS}", lambda runs: claim_beats_head(runs, "head_tuple_mean")),
    Claim("lstm-beats-head", "ours", "The CNN-LSTM beats the same head that is trained on single images and reads each alone",
          "points", f"above zero {IN_PANELS}", lambda runs: claim_beats_head(runs, "head_per_image")),
    Claim("sharing-greater-part", "ours", "Sharing, not the head's capacity, makes the CNN-LSTM's lead over averaging",
          "points", f"sharing's part minus the head's is above zero, where there is a lead, in {EVERY}",
          lambda runs: as_cases(sharing_minus_head(runs), lambda row: f"{plots.TITLES[row.one]}, what sharing adds minus the head's part")),
    Claim("head-beats-averaging", "ours", "The head on each image alone beats its CNN's averaged logits at every n",
          "points", f"above zero in {EVERY}", lambda runs: as_cases(head_minus_averaged(runs))),
    Claim("balanced-cnn", "sections 4.4.2 and 5.3", "The CNN under the LSTM is better trained with the balanced loss than as the baseline",
          "points", f"above zero in {EVERY}", lambda runs: as_cases(lstm_by_cnn(runs)), paper="2 to 11 points (Table 2)"),
    Claim("trained-by-itself", "section 4.4.2", "Training the CNN by itself is better than end to end",
          "points", f"above zero in {EVERY}; a run that is behind and stopped at the limit counts as level",
          lambda runs: as_cases(by_training(runs, "frozen", "end_to_end"), lambda row: "CNN trained by itself minus end to end")),
    Claim("fine-tuning-negligible", "section 4.4.2", "Fine-tuning the CNN afterwards makes no considerable difference",
          "points", f"the whole interval lies within {NEGLIGIBLE:g} points either way, where the frozen CNN is as far below 100 %",
          claim_fine_tuning_negligible, wanted=(-NEGLIGIBLE, NEGLIGIBLE)),
    Claim("order-under-others", "appendix C", "The comparisons hold for other pruners, too", "points",
          "each pair that SynFlow's runs order significantly has the same significant order under another pruner", claim_order),
    Claim("synflow-best-methods", "appendix C", "SynFlow is the best pruner for the other methods, too", "points",
          f"above zero against each other pruner, in {EVERY}", claim_synflow_best),
    Claim("lstm-worth-its-weights", "ours", "The CNN-LSTM beats averaged logits of a CNN with no more weights and FLOPs", "points",
          WORTH, claim_lstm_worth_its_weights),
    Claim("head-worth-its-weights", "ours", "The head alone beats averaged logits of a CNN with no more weights and FLOPs", "points",
          WORTH, claim_head_worth_its_weights),
]
