"""Networks that were trained on a folder of one's own images: they predict and are exported, wherever the folder is by then."""
import sys

import pytest
import torch
from made_runs import RUNS, make, measured_again
from test_export import NOT_EXPORTED, check_export

import sharedlabel
from sharedlabel import ROOT, data

sys.path.append(str(ROOT / "tools"))
import digit_folder  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The records of all kinds of runs on the sample folder, its test images, and where it has been moved to since."""
    place = tmp_path_factory.mktemp("images")
    root, moved = place / "my digits, für Übungen", place / "moved"
    digit_folder.write(root)
    files = {what: make(what, place / "results", root) for what in RUNS}
    test_set = data.load("folder", str(root), 8)[1]
    root.rename(moved)
    return files, test_set, moved


@pytest.mark.slow
@pytest.mark.parametrize("what", RUNS)
def test_every_method_predicts_and_is_exported_without_the_folder(what, trained, tmp_path, monkeypatch):
    files, test_set, moved = trained
    monkeypatch.setattr(data, "load", None)  # no images are read
    net = sharedlabel.load(files[what])
    assert net.classes == [str(label) for label in range(10)] and net.facts.shape == (1, 8, 8)
    for row, reached in measured_again(net, test_set):
        assert reached == pytest.approx(row["n_accuracy"], abs=1e-6), row
    n = net.stages.n or 3
    tuples = [sorted((moved / label).iterdir())[:n] for label in net.classes]
    for label, own in zip(net.classes, tuples):
        (tmp_path / "groups" / f"group {label}").mkdir(parents=True)
        for file in own:
            (tmp_path / "groups" / f"group {label}" / file.name).write_bytes(file.read_bytes())
    table = net.predict_groups(tmp_path / "groups")
    assert table["label"].tolist() == [net.predict(own).label for own in tuples] and set(table["n"]) == {n}
    if what != NOT_EXPORTED:
        # Its 512 standardised features make large sums that cancel, and attention's exponential shows their rounding.
        check_export(net, tmp_path / "net.onnx", within=1e-4 if what == "attention pooling of features" else 1e-5)


@pytest.mark.slow
def test_a_readout_on_a_folder_is_right_about_most_groups(trained):
    files, _, moved = trained
    net = sharedlabel.load(files["LDA"])
    assert torch.tensor([net.predict(moved / label).label == label for label in net.classes]).double().mean() > 0.7
