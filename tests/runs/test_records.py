"""Records: names that say everything, files that are whole or not there, a table that is tidy."""
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import pickle
import platform
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import labelled, model
from hypothesis import given
from hypothesis import strategies as st

from sharedlabel import live, pruning
from sharedlabel.analysis import beyond_law, choose, readout, small_dense, tables
from sharedlabel.runs import checkpoints, files, names, records

PARAMS = {
    "method": "baseline", "dataset": "digits", "model": "conv", "pruner": "synflow", "rho": 2.0, "seed": 0, "n": [1, 5],
    "batch_size": 64, "max_epochs": 160, "tuples_per_class": 100,
}
PART = {"params_total": 100, "params_remaining": 10, "macs_dense": 1000, "macs_live": 40}


def a_record(**changed) -> dict:
    measures = [
        {"n": n, "protocol": protocol, "tuples": 9,
         "n_accuracy": 0.5, "macs_live": 40 * n,
         "information_gain": 1.0, "information_gain_corrected": 0.9, "relative_information": 2.0 / n}
        for protocol in ("disjoint", "random") for n in (1, 5)
    ]
    record = {
        "params": PARAMS, "status": "ok", "network": {"cnn": PART}, "measures": measures,
        "epochs": {"best": 1, "stopped": "limit", "curves": {"train_loss": [2.0]}},
        "provenance": {"versions": {}, "device": "cpu", "seconds": 1.5, "commit": "", "time": ""},
    }
    return record | changed


# ---- names


def test_a_runs_name_is_readable_and_always_the_same():
    assert names.run_name(PARAMS).startswith("digits-conv-baseline-synflow-rho2-seed0-")
    backwards = dict(reversed(PARAMS.items()))
    assert names.run_name(PARAMS) == names.run_name(backwards)
    few = {name: PARAMS[name] for name in ("method", "dataset", "model", "pruner", "rho", "seed", "n")}
    assert names.run_name(few)[-8:] == "0b86dadb"  # records that are committed are found by this name


@pytest.mark.parametrize("changed", [
    {"method": "balanced"}, {"dataset": "mnist"}, {"model": "fc"}, {"pruner": "snip"}, {"rho": 2.0000001}, {"seed": 1},
    {"n": [1, 5, 25]}, {"n": [5, 1]}, {"new": 0},
])
def test_every_parameter_changes_the_name(changed):
    assert names.run_name(PARAMS | changed) != names.run_name(PARAMS)


def test_a_record_lies_below_its_results_by_data_set_and_model(tmp_path):
    assert names.record_path(PARAMS, tmp_path) == tmp_path / "digits" / "conv" / f"{names.run_name(PARAMS)}.json"
    assert names.record_path(PARAMS, "results").is_relative_to(records.ROOT / "results")


# ---- text

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@given(record=NESTED)
def test_text_reads_back_as_the_record_to_seven_digits(record):
    assert json.loads(records.dumps(record)) == records.rounded(record)


@given(record=NESTED)
def test_text_is_the_same_bytes_when_read_and_written_again(record):
    assert records.dumps(json.loads(records.dumps(record))) == records.dumps(record)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.dumps({"curves": [0.5, value]})


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_keeps_what_float32_holds(value):
    assert records.rounded([{"a": value}])[0]["a"] == pytest.approx(value, rel=1e-6)


def test_text_does_not_depend_on_the_order_of_keys():
    record = a_record()
    assert records.dumps(record) == records.dumps(dict(reversed(record.items())))


def test_a_measure_is_one_line():
    lines = records.dumps(a_record()).splitlines()
    assert sum('"n_accuracy"' in line and '"protocol"' in line for line in lines) == 4


# ---- files


def test_a_saved_record_reads_back(tmp_path):
    target = records.save(a_record(), tmp_path)
    assert target == names.record_path(PARAMS, tmp_path)
    assert json.loads(target.read_text()) == records.rounded(a_record())
    assert {file.name for file in target.parent.iterdir()} == {target.name, ".lock"}


def test_parameters_are_written_as_the_name_was_made_of_them(tmp_path):
    """A rho of log10(50) has more digits than a measure, and who starts from the run compares it."""
    target = records.save(a_record(params=PARAMS | {"rho": math.log10(50)}), tmp_path)
    params = json.loads(target.read_text())["params"]
    assert params["rho"] == math.log10(50) and names.record_path(params, tmp_path) == target


def test_a_write_cut_short_leaves_no_record(tmp_path, monkeypatch):
    def cut_short(*_):
        raise OSError("killed")

    monkeypatch.setattr(files.os, "replace", cut_short)
    with pytest.raises(OSError, match="killed"):
        records.save(a_record(), tmp_path, {"a": torch.ones(2)})
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {".lock"}


def test_a_write_cut_short_leaves_the_old_record_whole(tmp_path, monkeypatch):
    target = records.save(a_record(), tmp_path)
    before = target.read_bytes()
    monkeypatch.setattr(records, "dumps", lambda record: "{half")
    monkeypatch.setattr(files.os, "replace", lambda *_: None)
    records.save(a_record(status="other"), tmp_path)
    assert target.read_bytes() == before


def test_a_record_appears_after_its_checkpoint(tmp_path, monkeypatch):
    appeared = []
    monkeypatch.setattr(files.os, "replace", lambda part, target: appeared.append(target.suffix))
    records.save(a_record(), tmp_path, {"a": torch.ones(2)})
    assert appeared == [".safetensors", ".json"]


def test_a_run_that_is_killed_while_it_is_written_again_leaves_the_old_record_and_its_checkpoint(tmp_path, monkeypatch):
    target, count = records.save(a_record(), tmp_path, {"a": torch.ones(2)}), itertools.count(1)

    def killed_at_the_record(_):
        if next(count) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", killed_at_the_record)
    with pytest.raises(KeyboardInterrupt):
        records.save(a_record(), tmp_path, {"a": torch.zeros(2)})
    assert torch.equal(checkpoints.load(target)["a"], torch.ones(2))


def test_two_processes_that_save_one_run_leave_a_record_and_its_checkpoint(tmp_path, monkeypatch):
    context, replace = multiprocessing.get_context("fork"), os.replace
    begin, own = context.Event(), os.getpid()

    def save_when_told():
        begin.wait(20)
        records.save(a_record(), tmp_path, {"a": torch.zeros(2)})

    def replace_and_let_the_other_one_begin(part, file):
        replace(part, file)
        if os.getpid() == own and file.suffix == ".safetensors":
            begin.set()
            other.join(1)

    monkeypatch.setattr(files.os, "replace", replace_and_let_the_other_one_begin)
    other = context.Process(target=save_when_told, daemon=True)  # it begins outside of the lock, which a fork would share
    other.start()
    target = records.save(a_record(), tmp_path, {"a": torch.ones(2)})
    other.join(20)
    assert other.exitcode == 0 and torch.equal(checkpoints.load(target)["a"], torch.zeros(2))


def test_a_write_that_fails_leaves_no_partial_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        files.write_atomically({tmp_path / "record.json": b"content"})
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_through_a_link_that_lies_where_the_partial_file_goes(tmp_path):
    kept, target = tmp_path / "kept", tmp_path / "record.json"
    kept.write_text("whole")
    target.with_name(f"{target.name}.{platform.node()}.{os.getpid()}.part").symlink_to(kept)
    files.write_atomically({target: b"content"})
    assert kept.read_text() == "whole" and target.read_bytes() == b"content" and not target.is_symlink()


def test_partial_files_that_killed_processes_left_are_removed_and_those_of_living_ones_are_not(tmp_path):
    host, old = platform.node(), time.time() - files.STALE_SECONDS - 60
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {"dead": f"{host}.{dead.pid}", "alive": f"{host}.1", "elsewhere": "other-host.1", "long ago": "other-host.2", "not ours": "x"}
    parts = {what: tmp_path / f"record.json.{name}.part" for what, name in names.items()}
    for part in parts.values():
        part.touch()
    os.utime(parts["long ago"], (old, old))
    files.write_atomically({tmp_path / "record.json": b"content"})
    assert {what for what, part in parts.items() if part.exists()} == {"alive", "elsewhere", "not ours"}
    assert (tmp_path / "record.json").read_bytes() == b"content"


# ---- the table


def test_the_table_has_a_row_a_run_n_and_protocol(tmp_path):
    for seed in (0, 1):
        records.save(a_record(params=PARAMS | {"seed": seed}), tmp_path)
    table = tables.load_records(tmp_path)
    assert len(table) == 8
    assert not table.duplicated(["run", "n", "protocol"]).any()
    measured = {
        "run", "collapsed", "idle", "method", "dataset", "model", "pruner", "rho", "seed", "augment", "initialisation", "image_size",
        "budget", "batch_size", "max_epochs", "tuples_per_class", "classes", "limit_epochs", "images_a_step",
        "params_total", "params_remaining", "macs_dense", "macs_live_image", "additions", "seconds", "epochs", "best", "at_limit",
        "n", "protocol", "tuples", "n_accuracy", "information_gain", "information_gain_corrected", "relative_information", "macs_live",
    }
    others = sorted(set(table.columns) - measured)  # of other methods
    assert measured <= set(table.columns) and {"readout", "train_n"} <= set(others) and table[others].isna().all(axis=None)


def test_a_folder_in_which_nothing_was_measured_has_all_columns_and_choices_of_none(tmp_path):
    records.save(a_record(status="layer_collapse", measures=[], epochs={}), tmp_path)
    assert tables.load_records(tmp_path)[["n", "protocol", "n_accuracy"]].isna().all(axis=None)
    assert choose.load_runs(str(tmp_path)).empty and small_dense.configurations(small_dense.select_runs(tmp_path)).empty
    assert readout.select_runs(tmp_path).empty and beyond_law.select_runs(tmp_path).empty


def test_records_are_read_again_only_where_one_is_new_or_has_changed_and_a_table_is_the_callers_own(tmp_path, monkeypatch):
    path = records.save(a_record(), tmp_path)
    table = tables.load_records(tmp_path)
    table["n_accuracy"] = 2.0
    with monkeypatch.context() as patch:
        patch.setattr(json, "loads", None)
        assert (tables.load_records(tmp_path)["n_accuracy"] <= 1).all()
    path.write_text(path.read_text().replace('"status": "ok"', '"status": "layer_collapse"'))
    assert tables.load_records(tmp_path)["collapsed"].all()
    records.save(a_record(params=PARAMS | {"seed": 1}), tmp_path)
    assert tables.load_records(tmp_path)["run"].nunique() == 2


def test_a_parameter_that_came_later_is_filled_in_for_earlier_records(tmp_path):
    for params in PARAMS, PARAMS | {"augment": "crop_flip"}:
        records.save(a_record(params=params), tmp_path)
    assert set(tables.load_records(tmp_path)["augment"]) == {"none", "crop_flip"}


def test_the_tables_macs_are_of_the_tuple_and_of_one_image(tmp_path):
    records.save(a_record(), tmp_path)
    table = tables.load_records(tmp_path)
    assert (table.macs_live == table.n * table.macs_live_image).all()


def test_a_networks_parts_are_summed(tmp_path):
    records.save(a_record(network={"cnn": PART, "head": PART}), tmp_path)
    table = tables.load_records(tmp_path)
    assert set(table.params_total) == {200} and set(table.params_remaining) == {20}
    assert set(table.macs_dense) == {2000} and set(table.macs_live_image) == {80}


def test_a_collapsed_run_has_one_row_without_measures(tmp_path):
    records.save(a_record(), tmp_path)
    collapsed = a_record(params=PARAMS | {"rho": 4.0}, status="layer_collapse", measures=[], epochs={})
    records.save(collapsed, tmp_path)
    table = tables.load_records(tmp_path)
    row, = table[table.collapsed].to_dict("records")
    assert row["rho"] == 4.0 and row["params_remaining"] == 10 and not (row["at_limit"] or row["idle"])
    assert all(math.isnan(row[name]) for name in ("n_accuracy", "n", "epochs", "best"))


def test_the_table_tells_how_training_went(tmp_path):
    records.save(a_record(epochs={"best": 2, "stopped": "no improvement", "curves": {"train_loss": [2.0, 1.0, 1.5]}}), tmp_path)
    table = tables.load_records(tmp_path)
    assert set(zip(table.epochs, table.best, table.at_limit, table.idle)) == {(3, 2, False, False)}
    measures = [measure | {"information_gain": 0.0} for measure in a_record()["measures"]]
    records.save(a_record(measures=measures, epochs={"best": 1, "stopped": "limit", "curves": {"train_loss": [2.0]}}), tmp_path / "idle")
    table = tables.load_records(tmp_path / "idle")
    assert table.at_limit.all() and table.idle.all() and not table.collapsed.any()


def test_the_learning_curves_have_a_row_a_run_and_epoch(tmp_path):
    curves = {"train_loss": [2.0, 1.0], "n_accuracy_80": [0.5, 0.75]}
    first = records.save(a_record(epochs={"best": 2, "stopped": "limit", "curves": curves}), tmp_path).stem
    second = records.save(a_record(params=PARAMS | {"seed": 1}), tmp_path).stem
    records.save(a_record(params=PARAMS | {"rho": 4.0}, status="layer_collapse", measures=[], epochs={}), tmp_path)
    table = tables.load_curves(tmp_path).set_index(["run", "epoch"])
    assert table["train_loss"].to_dict() == {(first, 1): 2.0, (first, 2): 1.0, (second, 1): 2.0}
    assert table.loc[first, "n_accuracy_80"].tolist() == [0.5, 0.75] and math.isnan(table.loc[(second, 1), "n_accuracy_80"])


def test_runs_that_a_mean_would_mix_are_named():
    table = pd.DataFrame({"run": ["a", "b", "c"], "rho": [1.0, 2.0, 2.0], "seed": [0, 0, 0]})
    assert tables.check_distinct(table[:2], ["rho", "seed"]).equals(table[:2])
    with pytest.raises(ValueError, match="differ in more than rho, seed cannot be averaged: b, c"):
        tables.check_distinct(table, ["rho", "seed"])


@pytest.mark.parametrize("read", [tables.load_records, tables.load_curves])
@pytest.mark.parametrize("text", ["", "{half", "[]", "3", '{"params": {}}', '{"params": [], "network": {}}'])
def test_a_damaged_record_is_named(tmp_path, text, read):
    target = records.save(a_record(), tmp_path)
    target.write_text(text)
    with pytest.raises(ValueError, match=f"^{target} is not a whole record .* delete it"):
        read(tmp_path)


@pytest.mark.parametrize("read", [tables.load_records, tables.load_curves])
def test_a_folder_without_records_is_named(tmp_path, read):
    for folder in tmp_path, tmp_path / "missing":
        with pytest.raises(FileNotFoundError, match=f"no record lies below {folder};"):
            read(folder)


# ---- where it came from


def a_checkout(folder, monkeypatch):
    """A small one in place of the repository."""
    monkeypatch.setattr(records, "ROOT", folder)
    (folder / "sharedlabel").mkdir(parents=True)
    for name in ("sharedlabel/live.py", "README.md"):
        (folder / name).write_text("1")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


def test_a_record_says_whether_code_had_changes_beside_the_commit(tmp_path, monkeypatch):
    a_checkout(tmp_path / "house", monkeypatch)
    (tmp_path / "house" / "README.md").write_text("2")
    found = records.provenance("cpu", 1.0)
    assert len(found["commit"]) == 40 and found["dirty"] is False
    for name, undo in ("new.py", Path.unlink), ("live.py", lambda file: file.write_text("1")):
        (tmp_path / "house" / "sharedlabel" / name).write_text("2")
        assert records.provenance("cpu", 1.0)["dirty"] is True
        undo(tmp_path / "house" / "sharedlabel" / name)


@pytest.mark.parametrize("without", ["git", "a checkout"])
def test_a_run_ends_well_without_git(tmp_path, monkeypatch, without):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if without == "git":
        monkeypatch.setenv("PATH", str(tmp_path))
    found = records.provenance("cpu", 1.0)
    assert (found["commit"], found["dirty"]) == ("none: the code is no checkout of git", False)


def test_code_that_was_unpacked_inside_another_repository_does_not_name_that_ones_commit(tmp_path, monkeypatch):
    a_checkout(tmp_path / "house", monkeypatch)
    assert len(records.provenance("cpu", 1.0)["commit"]) == 40
    unpacked = tmp_path / "house" / "unpacked"
    (unpacked / "sharedlabel").mkdir(parents=True)
    monkeypatch.setattr(records, "ROOT", unpacked)
    assert records.provenance("cpu", 1.0)["commit"] == "none: the code is no checkout of git"
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "house" / ".git"))  # as in a hook of another repository
    assert records.provenance("cpu", 1.0)["commit"] == "none: the code is no checkout of git"


def test_every_committed_record_loads_under_its_own_name():
    table = tables.load_records("results")
    assert len(table) == 0 or not table.duplicated(["run", "n", "protocol"]).any()
    for file in (records.ROOT / "results").rglob("*.json"):
        text = file.read_text()
        assert names.record_path(json.loads(text)["params"], "results") == file
        assert records.dumps(json.loads(text)) == text
        assert all(row["information_gain_corrected"] <= row["information_gain"] for row in json.loads(text)["measures"])


# ---- checkpoints


def test_a_record_names_the_sha256_of_its_checkpoint_and_another_one_is_refused(tmp_path):
    first, second = (records.save(a_record(params=PARAMS | {"seed": seed}), tmp_path, {"a": torch.full((2,), seed)}) for seed in (0, 1))
    file = first.with_suffix(".safetensors")
    assert json.loads(first.read_text())["provenance"]["checkpoint_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(second.with_suffix(".safetensors").read_bytes())
    with pytest.raises(ValueError, match=f"{file} is not the checkpoint whose sha256 its record names; delete both"):
        checkpoints.load(first)
    first.write_text(records.dumps(a_record()))  # an older record, which names none
    assert checkpoints.load(first)["a"].tolist() == [1, 1]


@pytest.mark.parametrize("damage", ["not safetensors at all", ""])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    target = records.save(a_record(), tmp_path, {"a": torch.ones(2)})
    target.write_text(records.dumps(a_record()))
    target.with_suffix(".safetensors").write_text(damage)
    with pytest.raises(ValueError, match=f"{target.with_suffix('.safetensors')} is damaged .*; delete it and its record"):
        checkpoints.load(target)


@pytest.fixture
def saved(tmp_path):
    """A pruned network, its live network trained a little, and the path of its record."""
    network = model("conv")
    pruning.prune(network, "synflow", 2.0, labelled(), iterations=30)
    small = live.build(network, (3, 8, 8))
    with torch.no_grad():
        for i, parameter in enumerate(small.parameters()):
            parameter += 0.1 * i
    live.write_back(small, network)
    return network, small, records.save(a_record(), tmp_path, checkpoints.live_tensors(small))


def test_a_checkpoint_is_sparse(saved):
    network, small, record_path = saved
    tensors = checkpoints.load(record_path)
    values = sum(len(t) for name, t in tensors.items() if name.endswith("values"))
    assert values <= int(sum(mask.sum() for mask in pruning.masks(network).values()))
    dense = sum(4 * parameter.numel() for parameter in network.parameters())
    assert record_path.with_suffix(".safetensors").stat().st_size < 0.1 * dense


def test_a_large_checkpoint_is_not_committed_and_is_found(tmp_path, monkeypatch):
    record_path = records.save(a_record(), tmp_path, {"a": torch.ones(checkpoints.COMMITTED_BYTES // 4)})  # and a header
    small, large = names.checkpoint_paths(record_path)
    assert large.exists() and not small.exists()
    assert subprocess.run(["git", "-C", records.ROOT, "check-ignore", "--quiet", f"results/digits/conv/{large.name}"]).returncode == 0
    assert len(checkpoints.load(record_path)["a"]) == checkpoints.COMMITTED_BYTES // 4
    records.save(a_record(), tmp_path, {"a": torch.ones(2)})
    assert small.exists() and not large.exists()
    records.save(a_record(status="layer_collapse"), tmp_path)  # made again, it collapsed
    assert checkpoints.find(record_path) is None


def test_a_checkpoint_can_be_read_by_whom_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        record_path = records.save(a_record(), tmp_path, {"a": torch.ones(2)})
    finally:
        os.umask(before)
    modes = {file.stat().st_mode & 0o777 for file in (record_path, record_path.with_suffix(".safetensors"))}
    assert modes == {0o644}


def test_a_checkpoint_restores_the_networks_outputs(saved):
    network, _, record_path = saved
    tensors, restored = checkpoints.load(record_path), model("conv", seed=1)
    with torch.no_grad():
        for name, (module, _) in pruning.prunable_tensors(restored).items():
            name = name.removesuffix(".weight")
            module.weight.zero_().view(-1)[tensors[f"{name}.index"].long()] = tensors[f"{name}.values"]
            module.bias.zero_()[tensors[f"{name}.rows"].long()] = tensors[f"{name}.bias"]
    torch.testing.assert_close(restored(labelled()[0]), network(labelled()[0]))


class Trap:
    """Unpickling this touches a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def test_a_checkpoint_that_is_a_pickle_is_refused_and_runs_nothing(saved, tmp_path):
    record_path, marker = saved[2], tmp_path / "ran"
    record_path.with_suffix(".safetensors").write_bytes(pickle.dumps(Trap(marker)))
    record_path.write_text(records.dumps(a_record()))  # which names no sha256
    with pytest.raises(ValueError, match="is damaged"):
        checkpoints.load(record_path)
    assert not marker.exists()


def test_loading_never_unpickles(saved, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    checkpoints.load(saved[2])
    tables.load_records(saved[2].parent)
