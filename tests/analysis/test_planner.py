"""The planner names the cheapest network that reaches what is wanted, and fills sizes in that nobody measured."""
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from made_records import collapse, write_run

import sharedlabel
from sharedlabel import ROOT
from sharedlabel.analysis import choose, law, planner
from sharedlabel.analysis.planner import Wish
from sharedlabel.runs.errors import ParameterError


@pytest.fixture
def results(tmp_path) -> str:
    """Three networks over four seeds, the dearer the better; with a law of the cheapest."""
    for seed in range(4):
        common = {"dataset": "mnist", "model": "conv", "seed": seed, "n": [1, 5, 25]}
        for rho, macs, accuracy in ((4.0, 10, 50), (3.0, 100, 80), (2.0, 1000, 95)):
            write_run(tmp_path, {1: accuracy - 20, 5: accuracy, 25: accuracy + 4 + 0.1 * seed}, rho=rho, macs=macs, **common)
    runs = [law.digest(file.stem) for file in tmp_path.rglob("*rho4-*.json")]
    rows = [{"run": run, "n": n, "training_accuracy": value, "training_information": 1.0}
            for run in runs for n, value in ((1, 0.3), (5, 0.51), (25, 0.53), (np.inf, 0.55))]
    (tmp_path / "tables").mkdir()
    pd.DataFrame(rows).to_csv(law.table_files("mnist", "conv", tmp_path)[0], index=False)
    return str(tmp_path)


def rhos(wish: Wish, results: str) -> list[float]:
    return planner.plan(planner.options(wish, results), wish)["rho"].tolist()


def test_the_cheapest_that_reaches_it_and_the_next(results):
    assert rhos(Wish("mnist", 5, 0.7), results) == [3.0, 2.0]
    assert rhos(Wish("mnist", 5, 0.9), results) == [2.0]
    assert rhos(Wish("mnist", 5, 0.7, weights=500), results) == [3.0]
    assert rhos(Wish("mnist", accuracy=0.83, cost="weights"), results) == [3.0, 2.0]
    assert rhos(Wish("mnist", 5, 0.7, flops=500), results) == rhos(Wish("mnist", 5, 0.99), results) == []
    for wish in (Wish("mnist", 5, 0.99), Wish("mnist", 5, 0.99, flops=1000)):
        found = planner.options(wish, results)
        most = found.loc[found["flops"] <= (wish.flops or np.inf), "chosen_by"].max()
        assert planner.remarks(found, planner.plan(found, wish), wish) == f"the most that is known for this is {most:.0%}"


def test_what_was_measured_since_is_planned_with(results, monkeypatch):
    planner.load(results)
    planner.data_set_name("mnist", "", 32, results)
    assert planner.load.cache_info().currsize == 0


def test_without_a_target_the_best_that_a_budget_allows(results):
    assert rhos(Wish("mnist", 5, flops=1000), results) == [3.0, 4.0]
    assert rhos(Wish("mnist", 5), results) == [2.0, 3.0]


def test_no_more_images_are_used_than_are_needed(results):
    for wish, macs, images in ((Wish("mnist", 25, 0.7), [500, 1000], [5, 1]), (Wish("mnist", 24, 0.83), [1000 * 5], [5]),
                               (Wish("mnist", 25, 0.7, cost="weights"), [500, 1000], [5, 1]), (Wish("mnist", 24), [1000 * 5, 500], [5, 5])):
        chosen = planner.plan(planner.options(wish, results), wish)
        assert chosen["macs"].tolist() == macs and chosen["n"].tolist() == images
    sizes = planner.sizes(1000)
    assert sizes[:100] == list(range(1, 101)) and sizes[-1] == 1000 and max(b / a for a, b in zip(sizes[99:], sizes[100:])) < 1.03


def test_of_equally_cheap_ones_the_better_is_chosen(results, tmp_path):
    for seed in range(4):
        write_run(tmp_path, {1: 70, 5: 90}, dataset="mnist", model="conv", seed=seed, n=[1, 5], rho=3.0, macs=100, method="balanced")
    wish = Wish("mnist", 5, 0.75)
    assert planner.plan(planner.options(wish, results), wish)["method"].tolist() == ["balanced", "baseline"]
    found = choose.configurations(results)
    assert choose.cheapest(found, "mnist", 0.75, n=5)["method"] == "balanced"


def test_an_interval_needs_three_seeds_and_ends_at_what_is_possible():
    row = pd.Series({"mean": 0.99, "low": 0.97, "high": 1.01, "seeds": 3})
    assert choose.reached(row) == "99 (97 to 100)" and choose.reached(row.replace(3, 2)) == "99"
    bits = pd.Series({"mean": 3.0, "low": 2.5, "high": 3.5, "seeds": 5})
    assert choose.reached(bits, 1, planner.most_of("information_gain", "mnist")) == "3 (2.5 to 3.32)"


def test_a_choice_is_reported_by_the_other_seeds_and_told_in_words(results):
    wish = Wish("mnist", 25, 0.84)
    table = planner.plan_table(planner.plan(planner.options(wish, results), wish), wish)
    assert table["network"].tolist() == ["Conv, baseline, ρ = 3", "Conv, baseline, ρ = 2"] and table["seeds"].tolist() == [2, 2]
    assert table["n-accuracy (%)"][0] == "84.2" and table["images used"].tolist() == [25, 5]  # seeds 1 and 3: 84.1, 84.3
    assert table["FLOPs a tuple"][0] == "5,000" and table["known by"][0] == "measuring"


def test_a_size_that_nobody_measured_is_filled_in_by_the_law_and_marked(results):
    found = planner.options(Wish("mnist", 100, 0.5), results)
    assert set(found[found["predicted"]]["rho"]) == {4.0} and set(found[~found["predicted"]]["n"]) == {1, 5, 25}  # the others have no law
    assert sorted(found[found["rho"] == 4.0]["n"]) == list(range(1, 101))
    row, = (row for _, row in found[found["n"] == 100].iterrows())
    between = np.interp(0.1, [0, 0.2], [0.55, 0.53])  # 100 ** -0.5 is halfway from infinity to 25
    assert row["mean"] == pytest.approx(between + np.mean([0.541, 0.543]) - 0.53) and row["flops"] == 2 * 100 * 10
    least = planner.options(Wish("mnist", 1, 0.5), results)
    assert not least["predicted"].any() and len(least) == 3


def test_nothing_is_filled_in_above_what_is_possible(results):
    runs, laws = planner.load(results)
    much = 9.0 * laws["n"].eq(np.inf)
    filled = planner.fill_in(runs, laws.assign(training_accuracy=laws["training_accuracy"] + much, training_information=much), [10_000])
    assert filled["n_accuracy"].tolist() == [1] * 4 and filled["information_gain"].tolist() == pytest.approx([np.log2(10)] * 4)


def test_what_is_filled_in_is_compared_with_what_was_measured(results):
    table = planner.errors_of_the_law(results, "mnist").set_index("n")
    assert list(table.index) == [5, 25] and table["runs"].tolist() == [4, 4]
    # at 25 from 5 and infinity: the law between them, less what it was off by at 5
    guess = np.interp(0.2, [0, 5**-0.5], [0.55, 0.51]) + 0.50 - 0.51
    assert table.loc[25, "mean error"] == pytest.approx(100 * (guess - 0.5415))
    beyond = planner.errors_of_the_law(results, "mnist", 5)
    assert beyond["n"].tolist() == [25]  # the law there, less what it was off by at 5
    assert beyond["mean error"].item() == pytest.approx(100 * (0.53 + 0.50 - 0.51 - 0.5415))


def test_milliseconds_are_those_that_were_measured_or_on_their_line(results, monkeypatch, tmp_path):
    run = next(file.stem for file in tmp_path.rglob("*rho3-*.json"))
    pd.DataFrame({"network": [run] * 2, "n": [1, 10], "torch": [1.0, 2.8]}).to_csv(tmp_path / "latency.csv")
    monkeypatch.setattr(planner, "LATENCY", tmp_path / "latency.csv")
    found = planner.options(Wish("mnist", 5, 0.5), results).query("n == 5").set_index("rho")["ms"]
    assert found[3.0] == pytest.approx(1.8) and np.isnan(found[4.0])
    wish = Wish("mnist", 5, 0.3, cost="ms")
    assert rhos(wish, results) == [3.0] and rhos(Wish("mnist", 5, 0.7, ms=1.7), results) == []
    found = planner.options(wish, results)
    assert planner.remarks(found, planner.plan(found, wish), wish).startswith("2 of 3 networks were not timed, and so not chosen")
    others = [file.stem for file in tmp_path.rglob("*rho3-*.json") if file.stem != run]
    pd.DataFrame({"network": [run, run, others[0]], "n": [1, 10, 10], "torch": [1.0, 2.4, 3.2]}).to_csv(tmp_path / "latency.csv")
    assert planner.options(wish, results).query("n == 5").set_index("rho")["ms"][3.0] == pytest.approx(1.8)  # of two seeds the mean


def test_a_choice_that_was_lucky_is_called_so(results):
    wish = Wish("mnist", 5, 0.7)
    found = planner.options(wish, results)
    assert planner.remarks(found, planner.plan(found, wish), wish) == ""
    less = planner.plan(found, wish).assign(mean=0.69)
    assert planner.remarks(found, less, wish) == (
        "the seeds that did not choose reach less than is wanted: the choice may have been lucky; ask for more")


def test_where_nothing_has_three_seeds_what_there_is_counts(tmp_path):
    write_run(tmp_path, {1: 50, 5: 70}, rho=3.0, dataset="mnist", model="conv", seed=0, n=[1, 5])
    assert rhos(Wish("mnist", 5, 0.6), str(tmp_path)) == [3.0]
    for seed in range(3):
        write_run(tmp_path, {1: 40, 5: 50}, rho=4.0, dataset="mnist", model="conv", seed=seed, n=[1, 5])
    planner.load.cache_clear()
    assert rhos(Wish("mnist", 5, 0.6), str(tmp_path)) == [] and rhos(Wish("mnist", 5, 0.4), str(tmp_path)) == [4.0]


def test_seeds_that_pruning_cut_off_are_told_of(results, tmp_path):
    wish = Wish("mnist", 5, 0.7)
    for seed, told in ((4, "with one further seed (layer"), (5, "with 2 further seeds (layer")):
        collapse(tmp_path, 260, dataset="mnist", model="conv", rho=3.0, seed=seed)
        collapse(tmp_path, 2600, dataset="mnist", model="conv", rho=2.0, seed=seed + 7)  # another network's
        planner.load.cache_clear()
        found = planner.options(wish, results)
        assert rhos(wish, results) == [3.0, 2.0] and told in planner.remarks(found, planner.plan(found, wish), wish)


@pytest.mark.parametrize("wrong, message", [
    ({"cost": "euros"}, "cost: 'euros' is unknown; allowed: flops, weights, ms"), ({"accuracy": 90}, "accuracy: 90 is not allowed"),
    ({"n": 0}, "n: 0 is not allowed"), ({"accuracy": 0.5, "information": 1.0}, "one of them is wanted"),
    ({"n": "5"}, "n: '5' is not allowed"), ({"n": 2.5}, "n: 2.5 is not allowed"),
    ({"accuracy": float("nan")}, "accuracy: nan is not allowed"),
    ({"flops": -1}, "flops: -1 is not allowed"),
])
def test_a_wish_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        Wish("mnist", **wrong)


def test_small_dense_networks_are_quicker_as_files_than_pruned_ones_of_convolutions():
    for _, rows in pd.read_csv(planner.LATENCY).query("n in (1, 10)").groupby("n"):
        small, pruned = rows["network"].str.contains("-small_dense-"), ~rows["network"].str.contains("dense|-fc-")
        assert small.sum() > 15 and pruned.sum() > 100 and rows["onnx"][small].max() < rows["onnx"][pruned].min()


def test_a_data_set_without_records_is_named(results):
    with pytest.raises(ParameterError, match="dataset: 'cifar10' has no records in .*; there are some of mnist"):
        planner.options(Wish("cifar10"), results)


@pytest.mark.parametrize("given, message", [
    (("folder", "", 32), "path: '' is not allowed with dataset 'folder'; allowed: where your images are"),
    (("mnist", "photos", 32), "path: 'photos' is not allowed with dataset 'mnist'; allowed: ''"),
    (("folder", "nowhere/at/all", 32), r"path: 'nowhere/at/all' \(in .*\) is no folder"),
])
def test_a_folder_that_cannot_be_planned_for_is_named(given, message):
    with pytest.raises(ParameterError, match=message):
        planner.data_set_name(*given)


def test_where_nobody_timed_a_network_this_is_said(results, monkeypatch, tmp_path):
    monkeypatch.setattr(planner, "LATENCY", tmp_path / "none.csv")
    for wish in (Wish("mnist", 5, 0.5, cost="ms"), Wish("mnist", 5, ms=3)):
        with pytest.raises(ParameterError, match="ms: nobody has timed a network of mnist; benchmarks/latency.py with the paths"):
            rhos(wish, results)


@pytest.mark.parametrize("wish", [Wish("mnist", 1000, 0.999), Wish("mnist", 5, flops=0), Wish("mnist", accuracy=1)])
def test_what_nothing_reaches_is_an_empty_plan_beside_the_front(results, wish):
    found = planner.options(wish, results)
    chosen = planner.plan(found, wish)
    assert len(found) and chosen.empty and planner.plan_table(chosen, wish).empty
    assert "ask for less, or for more images" in planner.commands(chosen, results)
    assert planner.draw_front(found, chosen, wish)[1].startswith(f"{len(found)} options (")


def test_runs_of_one_seed_count_for_a_folder_of_ones_own(tmp_path):
    """Elsewhere only where nothing has three."""
    for seed in range(3):
        write_run(tmp_path, {1: 40}, dataset="mnist", model="conv", seed=seed, n=[1], rho=4.0)
    write_run(tmp_path, {1: 50, 5: 80}, dataset="mnist", model="conv", seed=0, n=[1, 5], rho=2.0)
    file, = tmp_path.rglob("*rho2-*.json")
    own = json.loads(file.read_text())
    own["params"]["dataset"] = "folder-1f24bf7a15e2-8px"
    (tmp_path / "own.json").write_text(json.dumps(own))
    assert set(planner.options(Wish("mnist", 5), str(tmp_path))["rho"]) == {4.0}
    _, row = planner.options(Wish("folder-1f24bf7a15e2-8px", 5), str(tmp_path)).to_dict("records")
    assert row["mean"] == row["chosen_by"] == 0.8 and np.isnan(row["low"]) and row["seeds"] == 1


def test_the_commands_name_what_the_choice_starts_from():
    wish = Wish("mnist", 12, 0.9)
    text = planner.commands(planner.plan(planner.options(wish), wish))
    name = re.search(r'sharedlabel.load\("(.+?)"\)', text)[1]
    assert sharedlabel.load(name).record.is_relative_to(ROOT / "results")
    assert "papermill notebooks/methods/" in text
    assert planner.commands(pd.DataFrame()) == "nothing that is known reaches it; ask for less, or for more images"


def test_the_front_is_drawn_and_told(results):
    wish = Wish("mnist", 5, 0.7)
    found = planner.options(wish, results)
    figure, text = planner.draw_front(found, planner.plan(found, wish), wish)
    assert {"choice", "runner-up"} <= {text.get_text() for text in figure.axes[0].texts}
    assert len(figure.axes) == 1 and "(3 networks, each with several numbers of images) for mnist with up to 5 images" in text


def test_sliders_plan_anew_and_are_not_needed(results, monkeypatch):
    widget = planner.sliders(Wish("mnist", 5, 0.7), results)
    assert [child.description for child in widget.children[:5]] == ["dataset", "n", "accuracy", "cost", "budget"]
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert "pip install ipywidgets" in planner.sliders(Wish("mnist", 5, 0.7), results)


def test_set_heads_have_names_of_their_own():
    found = choose.configurations()
    found = found[(found["method"] == "set_head") & (found["dataset"] == "mnist")].drop_duplicates("configuration")
    assert len(found) > 1 and found.apply(choose.describe, axis=1).is_unique
