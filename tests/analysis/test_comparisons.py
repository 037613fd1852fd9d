"""Means, intervals and verdicts, against tables whose answer is known."""
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sharedlabel.analysis import comparisons, intervals, sweet_spots


def runs(values: dict, n: tuple = (1,), name: str = "value", macs: dict | None = None) -> pd.DataFrame:
    """A table with values[rho] = one value a seed, the same at every n."""
    return pd.DataFrame([
        {"rho": rho, "n": size, "seed": seed, name: value, "macs_live": size * (macs or {}).get(rho, 1)}
        for rho, seeds in values.items() for seed, value in enumerate(seeds) for size in n
    ])


def test_the_interval_is_students():
    found = intervals.summary(runs({1.0: [1.0, 2.0, 6.0]}), "value", ["rho", "n"]).iloc[0]
    low, high = stats.t.interval(0.95, 2, loc=3.0, scale=stats.sem([1.0, 2.0, 6.0]))
    assert (found["mean"], found["seeds"]) == (3.0, 3)
    assert (found["low"], found["high"]) == (pytest.approx(low), pytest.approx(high))


def test_a_rho_that_lacks_an_n_is_told_of_and_not_taken_for_the_best():
    table = runs({1.0: [1.0, 2.0], 2.0: [5.0, 6.0], 3.0: [3.0, 4.0]}, n=(1, 5))
    lacking = table[(table["rho"] != 3.0) | (table["n"] != 5)]
    for each in (sweet_spots.find, sweet_spots.kendalls_w):
        each(table, "value")
        with pytest.raises(ValueError, match=r"not every rho was measured at every n; missing: \(3.0, 5\)"):
            each(lacking, "value")


def test_one_seed_has_no_interval():
    found = intervals.summary(runs({1.0: [5.0]}), "value", ["rho", "n"]).iloc[0]
    assert found["mean"] == 5.0 and np.isnan(found["low"]) and np.isnan(found["high"])


def by_pruner(values: dict) -> pd.DataFrame:
    """A table with values[pruner][rho] = {seed: value}."""
    return pd.DataFrame([
        {"pruner": pruner, "rho": rho, "seed": seed, "value": value}
        for pruner, rhos in values.items() for rho, seeds in rhos.items() for seed, value in seeds.items()
    ])


def test_verdicts_are_counted():
    assert comparisons.count_verdicts(["holds", "fails", "holds"]) == "2 holds, 1 fails, 0 cannot tell"


def test_paired_differences_are_taken_seed_by_seed():
    mine = {1.0: {0: 5.0, 1: 9.0, 2: 1.0, 3: 2.0}, 2.0: {0: 1.0}}
    table = by_pruner({"mine": mine, "other": {1.0: {1: 8.0, 0: 3.0, 2: -2.0}, 2.0: {0: 4.0}}})
    found = comparisons.differences_from(table, "value", "pruner", "mine", ["rho"]).set_index("rho")
    low, high = stats.t.interval(0.95, 2, loc=2.0, scale=stats.sem([2.0, 1.0, 3.0]))  # seed 3 has no partner
    assert found.loc[1.0, ["pruner", "mean", "seeds"]].tolist() == ["other", 2.0, 3]
    assert found.loc[1.0, ["low", "high"]].tolist() == [pytest.approx(low), pytest.approx(high)]
    assert found.loc[2.0, "mean"] == -3.0 and np.isnan(found.loc[2.0, "low"])


def test_paired_differences_of_no_pair_are_an_empty_table():
    for others in ({}, {"other": {1.0: {7: 1.0}}}):
        found = comparisons.differences_from(by_pruner({"mine": {1.0: {0: 1.0, 1: 2.0}}, **others}), "value", "pruner", "mine", ["rho"])
        assert found.empty and {"rho", "pruner", "mean", "low", "high", "seeds"} == set(found.columns)


def test_paired_differences_refuse_two_values_of_one_seed():
    table = by_pruner({"mine": {1.0: {0: 1.0}}, "other": {1.0: {0: 2.0}}})
    with pytest.raises(ValueError, match="duplicate"):
        comparisons.differences_from(pd.concat([table, table]), "value", "pruner", "mine", ["rho"])


def test_draws_follow_the_intervals():
    table = runs({1.0: [1.0, 2.0, 6.0], 2.0: [4.0, 4.5]})
    rhos, ns, means = intervals.sample_means(table, "value", count=40_000)
    assert (rhos, ns, means.shape) == ([1.0, 2.0], [1], (40_000, 2, 1))
    for i, found in intervals.summary(table, "value", ["rho", "n"]).iterrows():
        np.testing.assert_allclose(np.quantile(means[:, i, 0], [0.025, 0.975]), [found["low"], found["high"]], rtol=0.06)


@pytest.mark.parametrize("mean, error", [
    ([1.0, 2.0, 1.8, 0.5], [0.4, 0.3, 0.6, 2.0]), ([1.0, 1.0, 1.0], [0.1, 0.1, 0.1]), ([3.0, 1.0], [0, 1.0]),
])
def test_the_chance_to_be_the_highest_is_that_of_the_draws(mean, error):
    mean, error, freedom = np.array(mean), np.array(error), np.array([2, 4, 9, 3])[: len(mean)]
    drawn = mean + np.random.default_rng(0).standard_t(freedom, size=(400_000, len(mean))) * error
    shares = np.bincount(drawn.argmax(1), minlength=len(mean)) / len(drawn)
    np.testing.assert_allclose(intervals.chances(mean, error, freedom), shares, atol=3e-3)


def test_what_is_level_for_certain_shares_its_chance():
    np.testing.assert_allclose(intervals.chances(np.array([2.0, 2.0, 1.0]), np.zeros(3), np.array([2, 2, 2])), [0.5, 0.5, 0], atol=1e-6)


def test_a_clear_peak_is_inside_and_clear_slopes_are_at_their_ends():
    near = [0.0, 0.01, 0.02]
    for heights, name, best in (((1, 3, 2), "inside", 2.0), ((1, 2, 3), "upper_end", 3.0), ((3, 2, 1), "lower_end", 1.0)):
        spots = sweet_spots.find(runs({float(i + 1): [h + e for e in near] for i, h in enumerate(heights)}), "value")
        assert spots["best"][0] == best and spots[name][0] > 0.99
    assert sweet_spots.describe_each(spots) == {"n = 1": "1*"}


def test_two_rhos_or_one_seed_cannot_tell():
    for values in ({1.0: [1.0, 1.1], 2.0: [2.0, 2.1]}, {1.0: [1.0], 2.0: [3.0], 3.0: [2.0]}):
        spots = sweet_spots.find(runs(values), "value")
        assert sweet_spots.describe_each(spots)["n = 1"].endswith("*")
        assert spots[["low", "high", "inside", "lower_end", "upper_end", "dips"]].isna().all(axis=None)


def test_a_clear_dip_is_found_once():
    values = {float(i): [h - 0.01, h, h + 0.01] for i, h in enumerate((3, 1, 2, 4))}
    assert sweet_spots.find(runs(values), "value")["dips"][0] == 2  # 1 and 2 both lie below 3 and 4
    assert sweet_spots.find(runs({k: v for k, v in values.items() if k}), "value")["dips"][0] == 0


def test_noise_about_a_flat_curve_is_hardly_ever_called_a_dip():
    stream, called = np.random.default_rng(0), 0
    for _ in range(100):
        table = runs({float(i): stream.normal(size=3) for i in range(8)})
        called += sweet_spots.count_dips(intervals.sample_means(table, "value", count=1000)[2][:, :, 0]) > 0
    assert called <= 8


def test_the_cheapest_rho_by_hand():
    # rho 1 costs 10 an image and is always right; rho 2 costs 1 and is right in 6 of 10 whatever n.
    table = runs({1.0: [0.999, 1.0], 2.0: [0.6, 0.601]}, n=(1, 2), name="n_accuracy", macs={1.0: 10, 2.0: 1})
    best = sweet_spots.cheapest(table, [0.5, 0.9, 1.1])
    assert best[["target", "rho", "n", "macs_live"]].to_numpy().tolist() == [[0.5, 2.0, 1, 1], [0.9, 1.0, 1, 10]]
    assert sweet_spots.judge_cheapest(table, [0.5, 0.9, 1.1]) == (2, "holds")
    assert sweet_spots.judge_cheapest(table, [0.8, 0.9]) == (1, "fails")
    assert sweet_spots.judge_cheapest(table, [0.9, 1.1]) == (1, "cannot tell")  # only one is reached
    assert sweet_spots.judge_cheapest(table, [1.1]) == (0, "cannot tell")


def test_the_chance_to_be_dearer_is_integrated_and_not_drawn():
    own = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, np.inf]])[:, :, None]  # three quantiles of two rho, one target
    found = sweet_spots.chance_dearer(own, 3)[:, :, 0]
    np.testing.assert_allclose(found, [[1 / 9, 0], [8 / 9, 2 / 9]])


def test_quantiles_of_the_means_are_those_of_the_draws():
    table = runs({1.0: [1.0, 2.0, 6.0], 2.0: [4.0, 4.5]})
    drawn, even = (intervals.sample_means(table, "value", quantiles=each)[2] for each in (False, True))
    found, expected = (np.quantile(means, [0.1, 0.5, 0.9], axis=0) for means in (even, drawn))
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.05)
    assert (np.diff(even, axis=0) > 0).all()


def test_a_tuple_that_reaches_a_target_is_priced_between_the_n_that_were_measured():
    means = np.array([[[0.2, 0.4, 0.8], [0.5, 0.5, 0.6]]])  # of one draw, two rho, n = 1, 2, 4
    found = sweet_spots.prices(means, [1, 2, 4], np.array([10.0, 3.0]), [0.2, 0.6, 0.7])
    np.testing.assert_allclose(found[0], [[10, 20 * 2**0.5, 20 * 2**0.75], [3, 12, np.inf]])


@pytest.mark.parametrize("gain, verdict", [(1, "cannot tell"), (3, "fails")])
def test_noise_does_not_make_the_cheapest_rho_depend_on_the_target(gain, verdict):
    """What a tuple names depends on its FLOPs alone; or, `gain`, one rho makes more of them."""
    stream, ns, said = np.random.default_rng(1), (1, 2, 3, 5, 10, 25, 80), []
    for _ in range(10):
        parts = []
        for rho in (1.0, 1.5, 2.0, 2.5, 3.0):
            macs = 10 ** (4 - rho)
            for n in ns:
                middle = 1 - np.exp(-n * macs * (gain if rho == 2 else 1) / 2000)
                parts.append(runs({rho: list(middle + stream.normal(scale=0.01, size=3))}, n=(n,), name="n_accuracy", macs={rho: macs}))
        said.append(sweet_spots.judge_cheapest(pd.concat(parts), [0.45, 0.5, 0.6, 0.7, 0.8])[1])
    assert said.count(verdict) >= 9 and said.count("holds") <= 1


def test_a_dip_is_as_deep_as_it_lies_below_the_higher_side_that_is_less():
    means = np.array([[3.0, 1.0, 2.0, 4.0]])[:, :, None]  # 1 lies 2 below 3 and 3 below 4
    assert sweet_spots.dip_depth(means) == pytest.approx(0.5)
    assert sweet_spots.dip_depth(means[:, 1:]) == 0


def test_a_correlation_is_as_sure_as_its_runs_are_alike():
    line = pd.DataFrame({"run": np.repeat(["a", "b", "c", "d"], 5), "x": np.arange(20.0)}).assign(y=lambda t: 2 * t["x"])
    assert intervals.correlation_interval(line, "x", "y") == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
    odd = line.assign(y=line["y"].where(line["run"] != "d", -line["y"]))  # one run goes the other way
    middle, low, high = intervals.correlation_interval(odd, "x", "y")
    assert low < middle < 0.5 and high == pytest.approx(1)
    assert np.isnan(intervals.correlation(np.array([[1.0, 2.0], [1.0, 3.0]])))


def test_a_correlation_is_the_lesser_of_pearsons_and_spearmans():
    bent = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 100.0]])  # in the same order, but not on a line
    far = np.array([[1.0, 2.0], [2.0, 1.0], [100.0, 100.0]])  # one far point makes the line, the others are in the wrong order
    assert intervals.correlation(bent) == pytest.approx(np.corrcoef(bent.T)[0, 1]) and intervals.correlation(bent) < 0.9
    assert intervals.correlation(far) == pytest.approx(0.5) and np.corrcoef(far.T)[0, 1] > 0.9


def test_kendalls_w_of_one_order_and_of_two_opposed_ones():
    up = pd.concat([runs({1.0: [1.0], 2.0: [2.0], 3.0: [3.0]}, n=(n,)) for n in (1, 2)])
    down = runs({1.0: [3.0], 2.0: [2.0], 3.0: [1.0]}, n=(2,))
    assert sweet_spots.kendalls_w(up, "value") == 1
    assert sweet_spots.kendalls_w(pd.concat([up[up["n"] == 1], down]), "value") == 0
    assert np.isnan(sweet_spots.kendalls_w(runs({1.0: [1.0]}), "value"))


def test_an_order_is_the_same_only_if_that_is_sure():
    apart = {1.0: [1.0, 1.1, 1.2], 2.0: [5.0, 5.1, 5.2], 3.0: [9.0, 9.1, 9.2]}
    assert sweet_spots.same_order(runs(apart, n=(1, 2)), "value") > 0.975
    close = pd.concat([runs({1.0: [1.0, 1.1, 1.2], 2.0: [1.1, 1.2, value]}, n=(n,)) for n, value in ((1, 1.25), (2, 1.3))])
    assert sweet_spots.kendalls_w(close, "value") == 1 and sweet_spots.same_order(close, "value") < 0.975
    assert np.isnan(sweet_spots.same_order(runs({1.0: [1.0, 2.0], 2.0: [1.0]}), "value"))  # one that has a spread


def test_strata_count_alike_and_only_their_own_spread_does():
    values = {"a": [1.0, 2.0, 3.0], "b": [11.0, 11.0, 12.0, 14.0, 12.0], "c": [50.0]}
    table = pd.DataFrame([{"network": name, "x": value, "kind": "k"} for name, own in values.items() for value in own])
    [found] = intervals.stratified(table, "x", ["network"], ["kind"]).to_dict("records")
    assert (found["mean"], found["least"], found["most"], found["strata"], found["seeds"]) == (7, 2, 12, 2, 8)  # c has no spread
    errors = [1 / 3, 1.5 / 5]
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / 2 + errors[1] ** 2 / 4)
    assert found["freedom"] == pytest.approx(freedom)
    half = stats.t.ppf(0.975, freedom) * (sum(errors) / 4) ** 0.5
    assert (found["low"], found["high"]) == (pytest.approx(7 - half), pytest.approx(7 + half))
    [p] = comparisons.p_values(pd.DataFrame([found]))
    assert p == pytest.approx(2 * stats.t.sf(7 / (sum(errors) / 4) ** 0.5, freedom))
    level = table.assign(x=table["network"].map({"a": -1.0, "b": -3.0, "c": 0.0}))
    [found] = intervals.stratified(level, "x", ["network"], ["kind"]).to_dict("records")
    assert (found["low"], found["mean"], found["high"], found["freedom"]) == (-2, -2, -2, 6)
    one = intervals.stratified(table[table["network"] == "a"], "x", ["network"], ["kind"])
    plain = intervals.summary(table[table["network"] == "a"], "x", ["kind"])
    pd.testing.assert_frame_equal(one[["mean", "low", "high"]], plain[["mean", "low", "high"]])


def test_two_rhos_trade_places_only_if_each_is_surely_above_the_other_somewhere():
    up = {1.0: [1.0, 1.1, 1.2], 2.0: [2.0, 2.1, 2.2], 3.0: [2.0, 2.1, 2.3]}
    down = {1.0: [2.0, 2.1, 2.2], 2.0: [1.0, 1.1, 1.2], 3.0: [1.9, 2.2, 2.4]}
    found = sweet_spots.rank_swaps(pd.concat([runs(up, n=(1,)), runs(down, n=(2,))]), "value")
    assert found == [(1.0, 2.0)]  # 3 is level with 2 at n = 1 and with 1 at n = 2
    assert sweet_spots.rank_swaps(runs(up, n=(1, 2)), "value") == []


def methods(n: tuple = (1,), **values) -> pd.DataFrame:
    """A table of one row of the paper's, values[method][seed] a number or one number an n."""
    fixed = {"dataset": "mnist", "model": "fc", "rho": 2.5, **dict.fromkeys(intervals.MATCHED, 0), "limit_epochs": 60, "images_a_step": 64}
    return pd.DataFrame([
        fixed | {"method": method, "seed": seed, "n": size, "value": value}
        for method, seeds in values.items() for seed, each in enumerate(seeds) for size, value in zip(n, np.broadcast_to(each, len(n)))
    ])


def test_pairs_share_the_seed_and_the_limits_of_training():
    table = methods(balanced=[5.0, 7.0, 9.0], baseline=[4.0, 8.0])
    pairs = comparisons.paired_differences(table, "balanced", "baseline", "value")
    assert pairs[["seed", "balanced", "baseline", "difference"]].to_numpy().tolist() == [[0, 5, 4, 1], [1, 7, 8, -1]]
    for name in ("limit_epochs", "pruner", "prune_iterations", "initialisation", "augment", "precision", "patience", "min_improvement",
                 "learning_rate", "held_out"):
        other = table.copy()
        other.loc[(table["method"] == "baseline") & (table["seed"] == 1), name] = 160
        assert comparisons.paired_differences(other, "balanced", "baseline", "value")["seed"].tolist() == [0]
    for name in ("head_rho", "head_pruner", "standardised", "head_batch_size", "head_learning_rate", "head_max_epochs"):
        other = table.assign(**dict.fromkeys(set(intervals.HEAD_MATCHED) - set(table), 0))
        other.loc[(table["method"] == "baseline") & (table["seed"] == 1), name] = 160
        pairs = comparisons.paired_differences(other, "balanced", "baseline", "value", matched=intervals.HEAD_MATCHED)
        assert pairs["seed"].tolist() == [0], name
    with pytest.raises(ValueError, match="balanced and baseline: several pairs are of one"):
        comparisons.paired_differences(pd.concat([table, table]), "balanced", "baseline", "value")
    shorter = table.assign(limit_epochs=20)
    with pytest.raises(ValueError, match="several pairs are of one"):  # would count as two seeds
        comparisons.paired_differences(pd.concat([table, shorter]), "balanced", "baseline", "value")
    without_partner = pd.concat([table, shorter[shorter["method"] == "balanced"]])
    assert len(comparisons.paired_differences(without_partner, "balanced", "baseline", "value")) == 2


@pytest.mark.parametrize("epochs, images, alike", [
    (60, 80, True), (60, 640, True), (190, 200, True), (190, 64, False), (60, 64, True), (20, 80, False), (170, 200, True),
    (165, 200, False),
])
def test_a_pair_has_the_same_limit_of_epochs_or_within_a_tenth_of_steps(epochs, images, alike):
    table = methods(balanced=[5.0, 7.0], baseline=[4.0, 8.0])
    table.loc[table["method"] == "balanced", ["limit_epochs", "images_a_step"]] = epochs, images
    for one, other in (("balanced", "baseline"), ("baseline", "balanced")):
        assert len(comparisons.paired_differences(table, one, other, "value")) == 2 * alike


def test_pairs_of_another_parameter():
    table = methods(balanced=[5.0, 7.0]).assign(standard_weight=0.5)
    lower = table.assign(standard_weight=0.0, value=table["value"] - 2)
    pairs = comparisons.paired_differences(pd.concat([table, lower]), 0.0, 0.5, "value", by="standard_weight")
    assert pairs["difference"].tolist() == [-2, -2]


def test_pairs_share_whatever_they_are_told_to():
    table = methods(cnn_lstm=[5.0, 7.0], head_control=[4.0, 8.0]).assign(head_rho=[2.0, 2.0, 2.0, 3.0])
    assert len(comparisons.paired_differences(table, "cnn_lstm", "head_control", "value")) == 2
    pairs = comparisons.paired_differences(table, "cnn_lstm", "head_control", "value", matched=[*intervals.MATCHED, "head_rho"])
    assert pairs[["seed", "head_rho", "difference"]].to_numpy().tolist() == [[0, 2, 1]]


def from_intervals(given) -> pd.DataFrame:
    """A `summary` of three seeds each, with these intervals."""
    low, high = np.array(list(given), float).T
    return pd.DataFrame({"mean": (low + high) / 2, "low": low, "high": high, "seeds": 3})


def test_a_little_difference_lies_within_bounds_as_a_whole():
    told = {(-1, 1): "holds", (2.9, 3): "fails", (-3, -2.9): "fails", (1, 3): "cannot tell", (np.nan, np.nan): "cannot tell"}
    assert dict(zip(told, comparisons.judge_each_negligible(from_intervals(told), 2))) == told
    alone, among = [(2.0001, 3.0)], [(2.0001, 3.0), *[(-1, 1)] * 9]  # surely beyond by itself, and by chance among ten
    assert comparisons.judge_each_negligible(from_intervals(alone), 2) == ["fails"]
    assert comparisons.judge_each_negligible(from_intervals(among), 2) == ["cannot tell", *["holds"] * 9]


def test_with_less_room_than_a_notable_gain_needs_nobody_can_tell():
    told = {(-1.0, 1.0): "holds", (-1.5, 0.5): "holds"}
    found = from_intervals(told)
    assert comparisons.judge_each_negligible(found, 2, pd.Series([2.0, 50.0])) == ["holds", "holds"]
    assert comparisons.judge_each_negligible(found, 2, pd.Series([1.9, 50.0])) == ["cannot tell", "holds"]


def test_p_values_are_the_t_tests():
    rows = [{"cell": cell, "x": x} for cell, values in (("a", [1.0, 2.0, 4.0]), ("b", [-1.0, 0.5, 0.2]), ("c", [3.0])) for x in values]
    found = comparisons.p_values(intervals.summary(pd.DataFrame(rows), "x", ["cell"]))
    assert found[0] == pytest.approx(stats.ttest_1samp([1.0, 2.0, 4.0], 0).pvalue)
    assert found[1] == pytest.approx(stats.ttest_1samp([-1.0, 0.5, 0.2], 0).pvalue)
    assert np.isnan(found[2])


@pytest.mark.parametrize("value, p", [(0.0, 1.0), (0.9, 0.0)])
def test_values_that_are_all_the_same_differ_from_0_for_certain_or_not_at_all(value, p):
    found = intervals.summary(pd.DataFrame({"cell": "a", "x": [value] * 3}), "x", ["cell"])
    assert comparisons.p_values(found)[0] == pytest.approx(p, abs=1e-12)


def test_holms_adjustment_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1, and no smaller than the one before."""
    found = comparisons.holm(pd.Series([0.03, float("nan"), 0.01, 0.5, 0.02]))
    assert found.tolist() == pytest.approx([0.06, float("nan"), 0.04, 0.5, 0.06], nan_ok=True)


def test_verdicts_need_an_interval_that_leaves_out_zero():
    told = {(0.1, 2): "holds", (-2, -1.9): "fails", (-1, 1): "cannot tell", (0, 0): "cannot tell", (np.nan, np.nan): "cannot tell"}
    found = from_intervals(told)
    assert dict(zip(told, comparisons.judge_each(found))) == told
    assert comparisons.judge_each(comparisons.negate(found)) == ["cannot tell", "holds", *["cannot tell"] * 3]  # of four, by chance
    assert comparisons.judge_each(found, 0.2) == ["cannot tell", "fails", "cannot tell", "fails", "cannot tell"]
    assert comparisons.judge_all(["holds", "holds"]) == "holds"
    assert comparisons.judge_all(["holds", "cannot tell"]) == "cannot tell"
    assert comparisons.judge_all(["holds", "cannot tell", "fails"]) == "fails"
    assert comparisons.judge_all([]) == comparisons.judge_all(["not tested", "holds"]) == "cannot tell"
    assert comparisons.judge_all(["not tested", "not tested"]) == "not tested"


def test_one_failure_of_many_has_to_be_more_than_chance():
    """Ten cells that all are surely behind by their own intervals, one of them by far: that one alone refutes a claim about all."""
    cells = {"far": [-9.0, -9.1, -9.2], "ahead": [4.0, 5.0, 6.0]} | {f"near {i}": [-1.0, -1.5, -2.0] for i in range(9)}
    found = intervals.summary(pd.DataFrame([{"cell": cell, "x": x} for cell, xs in cells.items() for x in xs]), "x", ["cell"])
    assert (found.loc[found["cell"] != "ahead", "high"] < 0).all()
    told = dict(zip(found["cell"], comparisons.judge_each(found)))
    assert told == {"far": "fails", "ahead": "holds"} | {f"near {i}": "cannot tell" for i in range(9)}
    assert comparisons.judge_each(found[found["cell"] == "near 0"]) == ["fails"]


def test_plausible_means_follow_the_intervals_and_go_together_as_the_seeds_do():
    values = np.array([[1.0, -1.0], [2.0, -2.0], [6.0, -6.0]])
    drawn = intervals.sample_differences(values, count=40_000)
    interval = stats.t.interval(0.95, 2, loc=3.0, scale=stats.sem(values[:, 0]))
    np.testing.assert_allclose(np.quantile(drawn[:, 0], [0.025, 0.975]), interval, rtol=0.06)
    np.testing.assert_allclose(drawn.sum(1), 0, atol=1e-9)


@pytest.mark.parametrize("ahead, first", [
    ([-5, -1, 2, 3], 5), ([1, 2, 3, 4], 1), ([-5, -1, -2, -3], np.inf), ([-5, 2, -1, 3], 25), ([-5, 2, 1, -1], np.inf),
    ([-5, 2, 0, 0], 2), ([-5, 0, 2, 1], 5), ([0, 0, 0, 0], np.inf),
])
def test_the_n_of_overtaking_by_hand(ahead, first):
    table = methods(n=(1, 2, 5, 25), baseline=[90.0, 91.0], balanced=[90.0 + np.array(ahead), 91.0 + np.array(ahead)])
    found = comparisons.crossover(comparisons.paired_differences(table, "balanced", "baseline", "value"))
    assert (found["first"], found["low"], found["high"], found["seeds"]) == (first, first, first, 2)
    assert found["never"] == np.isinf(first)


def test_one_pair_has_an_n_of_overtaking_but_no_uncertainty():
    table = methods(n=(1, 2), baseline=[3.0], balanced=[[2.0, 4.0]])
    found = comparisons.crossover(comparisons.paired_differences(table, "balanced", "baseline", "value"))
    assert (found["first"], found["seeds"]) == (2, 1) and np.isnan([found["low"], found["high"], found["never"]]).all()


def test_the_interval_of_the_n_of_overtaking_holds_the_true_one_and_is_no_wider_than_it_must_be():
    ns, true, stream = (1, 2, 5, 10, 25), np.array([-4.0, -2.0, 1.0, 3.0, 4.0]), np.random.default_rng(0)

    def interval(noise: float) -> tuple[float, float]:
        balanced = true + 2 * noise * stream.normal(size=(5, 5)) + noise * stream.normal(size=(5, 1))
        pairs = comparisons.paired_differences(methods(n=ns, baseline=np.zeros(5), balanced=balanced), "balanced", "baseline", "value")
        found = comparisons.crossover(pairs)
        return found["low"], found["high"]

    assert sum(low <= 5 <= high for low, high in (interval(1.0) for _ in range(100))) >= 90
    assert sum(interval(0.15) == (5, 5) for _ in range(50)) >= 45


def test_unrest_is_what_a_straight_line_leaves():
    line = 3 + 0.5 * np.arange(20)
    assert intervals.spread_about_trend(line) == pytest.approx(0, abs=1e-9)
    noisy = line[:, None] + np.random.default_rng(0).normal(scale=2, size=(20, 500))
    assert np.mean([intervals.spread_about_trend(each) ** 2 for each in noisy.T]) == pytest.approx(4, rel=0.05)
    assert np.isnan(intervals.spread_about_trend(np.array([1.0, 2.0])))
