"""`sharedlabel.load`: a record's network says of new images what it said of the test images; what cannot be used is one clear line."""
import io
import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run_notebook
from made_runs import CNN, RUNS, make, measured_again
from PIL import Image
from torchvision.datasets import FashionMNIST

import sharedlabel
from sharedlabel import ROOT, choices, data, runtime
from sharedlabel.data import DataError, facts
from sharedlabel.inference import networks
from sharedlabel.runs import checkpoints
from sharedlabel.runs.errors import ParameterError

MNIST = "mnist-conv-baseline-synflow-rho3.5-seed0"  # the beginning of a committed record's name
MNIST_FILE = next((ROOT / "results" / "mnist" / "conv").glob(f"{MNIST}-*.json"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


# ---- the same network


@pytest.mark.slow
@pytest.mark.parametrize("what", RUNS)
def test_a_run_on_digits_predicts_what_it_measured(what, results):
    net = sharedlabel.load(make(what, results))
    again = measured_again(net, data.load("digits")[1])
    assert {row["n"] for row, _ in again} == set(net.params["n"]) and max(row["n_accuracy"] for row, _ in again) > 0.3
    for row, reached in again:
        assert reached == pytest.approx(row["n_accuracy"], abs=1e-6), row


def one_of_each_kind(dataset: str) -> list:
    """A committed record with a checkpoint of each network, method and variant on a data set."""
    found = {}
    for file in sorted((ROOT / "results" / dataset).glob("*/*.json")):
        record = json.loads(file.read_text())
        params = record["params"]
        kind = (params["model"], params["method"], *map(params.get, ("architecture", "readout", "embedding", "cnn_training", "order")))
        if record["status"] == "ok" and (file.with_suffix(".safetensors").exists() or params.get("readout") in choices.STATELESS_READOUTS):
            found.setdefault(kind, file)
    return list(found.values())


def check_committed(dataset: str, test_set, within: float) -> None:
    kinds = one_of_each_kind(dataset)
    assert {json.loads(file.read_text())["params"]["method"] for file in kinds} >= {"baseline", "balanced", "freeze_retrain"}
    for file in kinds:
        for row, reached in measured_again(sharedlabel.load(file), test_set):
            assert reached == pytest.approx(row["n_accuracy"], abs=within), (file.stem, row)


@pytest.mark.slow
def test_committed_networks_of_mnist_predict_what_they_measured(mnist):
    check_committed("mnist", mnist[1], within=0.001)  # another machine may round a tie the other way


@pytest.mark.slow
def test_committed_networks_of_cifar_predict_what_they_measured(cifar):
    name, _, test_set = cifar
    check_committed(name, test_set, within=0.005 if name == "cifar10" else 0.001)  # Conv's were measured in bfloat16


def test_a_prediction_is_the_mean_of_the_logits_by_name(mnist):
    net, test_set = sharedlabel.load(MNIST), mnist[1]
    index = (test_set.labels == 7).nonzero().flatten()[:10]
    found = net.predict(test_set.pixels[index])
    mean = torch.cat([net.combine(net.embed(test_set.pixels[i : i + 1])[None]) for i in index]).mean(0).softmax(0)
    assert (found.label, found.n) == (net.classes[mean.argmax()], 10)
    (one, two), (_, second) = mean.topk(2)
    assert (found.probability, found.runner_up_probability) == (pytest.approx(float(one)), pytest.approx(float(two)))
    assert found.runner_up == net.classes[second]


# ---- what it knows of its data


def test_a_new_checkpoint_carries_what_a_prediction_needs(results, monkeypatch):
    file, averaged = make("LDA", results), make("averaged logits", results)
    written = facts.loads(checkpoints.load_facts(file))
    train_set = data.load("digits")[0]
    assert written.shape == train_set.shape and written.classes == [str(i) for i in range(10)] and written.white == 16
    assert torch.equal(torch.tensor(written.scale), train_set.scale.flatten())
    monkeypatch.setattr(facts, "find", None)  # nothing else is asked
    assert sharedlabel.load(file).facts == sharedlabel.load(averaged).facts == written


def test_an_old_checkpoint_is_read_with_the_data_sets_facts():
    net = sharedlabel.load(MNIST)
    assert checkpoints.load_facts(net.record) == "" and net.facts == facts.find({"dataset": "mnist"})


def test_no_data_set_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("SHAREDLABEL_DATA", str(tmp_path / "nothing"))
    assert sharedlabel.load(MNIST).predict(np.zeros((3, 28, 28), np.uint8)).n == 3


# ---- names


def test_a_record_is_known_by_its_name_the_beginning_of_it_and_its_path(tmp_path, monkeypatch):
    net = sharedlabel.load(MNIST)
    file = net.record
    assert file.stem in repr(net) and "10 classes" in repr(net)
    assert {sharedlabel.load(name).record for name in (file.stem, str(file), file, file.with_suffix(".safetensors"))} == {file}
    for each in (file, file.with_suffix(".safetensors")):
        shutil.copy(each, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert sharedlabel.load(file.name).predict(np.zeros((1, 28, 28))) == net.predict(np.zeros((1, 28, 28)))


@pytest.mark.parametrize("name, message", [
    ("mnist-conv-baseline-synflow-rho3.5-", r"\d+ names in results begin with .*: mnist-conv-baseline-synflow-rho3.5-seed0-.*write more"),
    ("mnist-conv-baselin-synflow-rho3.5-seed0", "no record's name in results.*did you mean .*mnist-conv-baseline-synflow-rho3.5-seed0-"),
    ("", "'' is no record's name"), ("\n" * 500, "no record's name"), ("nothing/of/that.json", "there is no file nothing/of/that.json"),
    ("~nobody-of-that-name/a.json", "there is no file ~nobody-of-that-name/a.json"),
])
def test_a_name_that_fits_none_or_several_is_refused_in_a_line(name, message):
    with pytest.raises(ParameterError, match=message) as refused:
        sharedlabel.load(name)
    assert len(str(refused.value)) < 700


def test_what_lies_below_a_folder_that_is_closed_is_not_there(closed_folder):
    with pytest.raises(ParameterError, match="record: there is no file .*closed/a.json"):
        sharedlabel.load(closed_folder / "a.json")
    with pytest.raises(ParameterError, match="results: there is no folder .*closed/results"):
        sharedlabel.load(MNIST, closed_folder / "results")
    with pytest.raises(DataError, match="closed/groups is no folder"):
        sharedlabel.load(MNIST).predict_groups(closed_folder / "groups")


def test_a_collapsed_run_and_a_lost_checkpoint_have_no_network(tmp_path, results):
    file = make("baseline", results)
    shutil.copy(file, tmp_path)
    by_hand = r"; by hand: .venv/bin/papermill notebooks/methods/baseline\.ipynb out\.ipynb (?!.*-p results).*; then sharedlabel.load"
    with pytest.raises(FileNotFoundError, match="has no checkpoint beside it .*" + by_hand):
        sharedlabel.load(tmp_path / file.name)
    record = json.loads(file.read_text())
    record["params"]["dataset"] = "folder-123456789abc-8px"  # of images of one's own
    (tmp_path / "own.json").write_text(json.dumps(record))
    with pytest.raises(FileNotFoundError, match="own.json has no checkpoint beside it .*-p dataset folder .*-p path PATH/OF/YOUR/IMAGES"):
        sharedlabel.load(tmp_path / "own.json")
    record |= {"status": "layer_collapse", "collapse": "no path"}
    (tmp_path / file.name).write_text(json.dumps(record))
    with pytest.raises(ParameterError, match="has no network .layer_collapse: no path."):
        sharedlabel.load(tmp_path / file.name)


def test_a_head_without_its_cnn_is_told_what_makes_it_and_a_damaged_one_is_named(tmp_path, results):
    head = shutil.copy(make("LDA", results), tmp_path)
    shutil.copy(make("LDA", results).with_suffix(".safetensors"), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no record of it; by hand: .*papermill .*/baseline\.ipynb .*papermill .*readout"):
        sharedlabel.load(head)
    (tmp_path / "digits-fc-baseline-synflow-rho1-seed0-01234567.json").write_text("{half")
    with pytest.raises(ValueError, match="seed0-01234567.json is not a whole record"):
        sharedlabel.load(head)


def test_a_network_says_how_good_it_was(results):
    rows = json.loads(MNIST_FILE.read_text())["measures"]
    net = sharedlabel.load(MNIST_FILE)
    assert net.n_accuracy == {row["n"]: row["n_accuracy"] for row in rows if row["protocol"] == "random"}
    assert f"{100 * net.n_accuracy[5]:.1f} % at n = 5" in repr(net) and "any n;" in repr(net)
    assert "any n, trained for n = 5;" in repr(sharedlabel.load(make("LSTM", results)))


def test_the_classes_of_fashionmnist_have_names():
    net = sharedlabel.load("fashionmnist-linear-small_dense-pool7-width0-seed0", results="benchmarks/fashionmnist")
    assert net.classes == list(FashionMNIST.classes)


def test_a_graph_network_takes_the_n_that_it_was_built_for(results, tmp_path):
    net = sharedlabel.load(make("graph of neurons", results))
    digits = data.load("digits")[1]
    assert net.predict(digits.pixels[:5]).n == 5 and "n = 5" in repr(net)
    with pytest.raises(ValueError, match="n: tuples of 3 images; this graph network was built for 5"):
        net.predict(digits.pixels[:3])
    save_group(tmp_path / "three", digits.pixels[:3] * 15)
    with pytest.raises(ValueError, match="group three: n: tuples of 3 images; this graph network was built for 5"):
        net.predict_groups(tmp_path)


def test_loading_leaves_the_process_as_it_was(monkeypatch):
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr(runtime, "keep_freed_memory", lambda: set_to.append("malloc"))
    sharedlabel.load(MNIST).predict(np.zeros((1, 28, 28)))
    assert set_to == []


@pytest.mark.parametrize("what", ["baseline", "LSTM", "LDA", "graph of neurons", "DeepSets"])
def test_the_callers_streams_and_default_device_are_left_alone(what, results, monkeypatch):
    file = make(what, results)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", None)  # of a GPU's streams
    before = torch.get_rng_state()
    with torch.device("meta"):  # as somebody's cuda
        net = sharedlabel.load(file)
        assert net.predict(np.zeros((5, 8, 8))).n == 5
    assert torch.equal(torch.get_rng_state(), before)


# ---- the CNN of a head


@pytest.fixture
def head_and_cnn(tmp_path) -> tuple:
    """Copies of the records of a committed head and of its CNN."""
    file = ROOT / "results/mnist/conv/mnist-conv-head_control-synflow-rho3.75-n1-seed0-7eab22b2.json"
    cnn = networks.cnn_record(file, networks.complete_parameters(file))
    return tuple(Path(shutil.copy(each, tmp_path)) for each in (file, cnn))


def copy_changed(file: Path, letter: str, **changed) -> Path:
    """A copy of a record with other parameters, by a name that begins with a letter."""
    record = json.loads(file.read_text())
    copy = file.with_name(f"{letter}-{file.name}")
    copy.write_text(json.dumps(record | {"params": record["params"] | changed}))
    return copy


@pytest.mark.parametrize("changed", [{"budget": "macs"}, {"initialisation": "he"}, {"revision": 7}, {"n": [1]}], ids=str)
def test_a_head_finds_its_own_cnn_beside_one_that_differs_in_what_only_cnns_have(head_and_cnn, changed):
    head, cnn = head_and_cnn
    copy_changed(cnn, "a", **changed)
    cnn.with_name(f"b-{cnn.name}").write_text("{")  # damaged, and nobody's
    assert networks.cnn_record(head, networks.complete_parameters(head)) == cnn


def test_a_head_takes_its_cnn_at_other_n_where_that_is_all_there_is(head_and_cnn):
    head, cnn = head_and_cnn
    params, one, other = networks.complete_parameters(head), copy_changed(cnn, "a", n=[1]), copy_changed(cnn, "b", n=[1, 2])
    copy_changed(cnn, "c", budget="macs")
    cnn.unlink()
    with pytest.raises(ParameterError, match=f"one CNN, and several lie beside it: {one.stem}, {other.stem}; move all but its own away"):
        networks.cnn_record(head, params)
    one.unlink()
    assert networks.cnn_record(head, params) == other
    other.unlink()
    with pytest.raises(FileNotFoundError, match="beside it lies no record of it"):
        networks.cnn_record(head, params)


# ---- images


def save_group(folder, pixels, suffix: str = "png") -> None:
    folder.mkdir(parents=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image.squeeze(0).numpy()).save(folder / f"{i}.{suffix}")


def test_pictures_arrays_tensors_paths_and_folders_say_the_same(mnist, tmp_path):
    net, pixels = sharedlabel.load(MNIST), mnist[1].pixels[:3]
    save_group(tmp_path / "group", pixels)
    files = sorted((tmp_path / "group").iterdir())
    arrays = pixels[:, 0].numpy()
    given = [
        pixels, list(pixels), pixels[:, 0], pixels.float() / 255, arrays, list(arrays), arrays[..., None], arrays / 255, files,
        [str(file) for file in files], tmp_path / "group", str(tmp_path / "group"), [Image.open(file) for file in files],
        (Image.open(file).convert("RGB") for file in files), [files[0], arrays[1], pixels[2]],
    ]
    assert {net.predict(each) for each in given} == {net.predict(pixels)}
    assert net.predict(files[0]) == net.predict(Image.open(files[0])) == net.predict(pixels[:1]) == net.predict(arrays[0])
    assert net.predict(arrays[0][..., None]) == net.predict(arrays[0]) == net.predict(pixels[0])
    torch.testing.assert_close(net.probabilities(pixels.bfloat16() / 256), net.probabilities(pixels), rtol=0, atol=0.02)


def test_one_image_in_colour_needs_no_list():
    net, image = sharedlabel.load("cifar10-conv-baseline-synflow-rho3-seed0-ac0698a3"), np.linspace(0, 1, 32 * 32 * 3).reshape(32, 32, 3)
    assert net.predict(image) == net.predict([image]) == net.predict(torch.from_numpy(image).movedim(2, 0)) == net.predict(image[None])
    with pytest.raises(ValueError, match="number 0: 1 channel; this network reads 3"):
        net.predict(image[..., 0])


def test_paths_may_begin_at_home(mnist, tmp_path, monkeypatch):
    net, pixels = sharedlabel.load(MNIST), mnist[1].pixels[:3]
    save_group(tmp_path / "all" / "group", pixels)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert net.predict("~/all/group") == net.predict([f"~/all/group/{i}.png" for i in range(3)]) == net.predict(pixels)
    assert net.predict_groups("~/all")["n"].tolist() == [3]


def test_probabilities_are_those_of_all_classes(mnist):
    net, pixels = sharedlabel.load(MNIST), mnist[1].pixels[:3]
    found, said = net.probabilities(pixels), net.predict(pixels)
    assert found.shape == (10,) and found.sum() == pytest.approx(1)
    assert net.classes[found.argmax()] == said.label and found.max() == said.probability


def test_a_picture_stays_as_it_was(tmp_path):
    Image.fromarray(np.arange(2**16, dtype=np.uint16).view(np.uint8).reshape(256, 512)).save(tmp_path / "large.jpg")
    picture = Image.open(tmp_path / "large.jpg")
    sharedlabel.load(MNIST).predict([picture])
    assert picture.size == (512, 256)


def test_a_network_that_gives_no_number_says_nothing(results, tmp_path):
    file = make("baseline", results)
    for each in (file, file.with_suffix(".safetensors")):
        shutil.copy(each, tmp_path)
    net = sharedlabel.load(tmp_path / file.name)
    with torch.no_grad():
        next(iter(net.stages.image.parameters())).fill_(float("nan"))
    with pytest.raises(ValueError, match=f"{file.stem} gives no number for these images: its checkpoint is damaged"):
        net.predict(np.zeros((1, 8, 8)))


def test_a_picture_that_ends_too_early_is_told_by_its_number(mnist, tmp_path):
    save_group(tmp_path / "group", mnist[1].pixels[:1])
    content = (tmp_path / "group" / "0.png").read_bytes()
    for cut in (content[:-40], content[:60] + bytes(40)):
        with pytest.raises(ValueError, match="images: number 1: "):
            sharedlabel.load(MNIST).predict([np.zeros((28, 28)), Image.open(io.BytesIO(cut))])


def test_images_of_another_size_are_squeezed_as_in_training_and_turned_upright(mnist, tmp_path):
    net, pixels = sharedlabel.load(MNIST), mnist[1].pixels[:1]
    large = Image.fromarray(pixels[0, 0].numpy()).resize((56, 84), Image.Resampling.NEAREST)
    again = torch.from_numpy(np.array(large.resize((28, 28), Image.Resampling.BILINEAR)))
    assert net.predict(large) == net.predict([np.array(large)]) == net.predict(again[None])
    exif = Image.Exif()
    exif[274] = 6  # the camera was held on its side
    large.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    assert net.predict(tmp_path / "turned.png") == net.predict(large)


def test_pictures_of_255_levels_become_the_16_of_digits(results):
    net, pixels = sharedlabel.load(make("baseline", results)), data.load("digits")[1].pixels[:4]
    assert net.predict(pixels) == net.predict([Image.fromarray((each[0].numpy() * 255.0 / 16).round().astype(np.uint8)) for each in pixels])
    with pytest.raises(ValueError, match="number 0: a value of 255; pixels are uint8 from 0 to 16, or floats"):
        net.predict(np.full((1, 8, 8), 255, np.uint8))


def test_groups_of_any_size_are_a_table(mnist, tmp_path):
    net, test_set = sharedlabel.load(MNIST), mnist[1]
    members = data.by_class(test_set.labels)
    for label, size in ((0, 5), (1, 12), (6, 1)):
        save_group(tmp_path / f"group of {label}", test_set.pixels[members[label][:size]], "webp" if label == 1 else "png")
    (tmp_path / ".hidden").mkdir()
    for name in (".DS_Store", "Thumbs.db"):
        (tmp_path / "group of 0" / name).write_bytes(b"what a file manager leaves")
    table = net.predict_groups(tmp_path)
    assert list(table.columns) == ["group", "n", "label", "probability", "runner_up", "runner_up_probability"]
    assert table["group"].tolist() == ["group of 0", "group of 1", "group of 6"] and table["n"].tolist() == [5, 12, 1]
    expected = net.predict(test_set.pixels[members[0][:5]])
    assert tuple(table.iloc[0])[2:] == tuple(expected)[:4]


@pytest.mark.parametrize("images, message", [
    ([], "images: there are none"), (np.zeros((0, 28, 28)), "images: there are none"), (3, "images: int is not allowed"),
    ({"a.png": 1}, "images: dict is not allowed"), (torch.tensor(1.0), "images: Tensor is not allowed"),
    (np.zeros((2, 28, 28, 3)), "number 0: 3 channels; this network reads 1"),
    (torch.zeros(2, 3, 28, 28), "number 0: 3 channels; this network reads 1"),
    ([np.zeros((28, 28)), np.zeros(28)], r"number 1: \(28,\) is the shape of no image"),
    (np.zeros((3, 28, 1)), r"number 0: \(3, 28, 1\) is the shape of no image.*at least 4 pixels a side"),
    (np.zeros((28, 28, 3)), "number 0: 3 channels; this network reads 1"),
    (np.full((1, 28, 28), 2.0), "number 0: a float outside of 0 to 1"), (np.full((1, 28, 28), np.nan), "number 0: a float outside"),
    (np.zeros((1, 28, 28), np.int64), "number 0: int64; pixels are uint8 from 0 to 255, or floats"),
    ([Image.new("I;16", (28, 28))], "number 0: it has more than 8 bits a pixel and channel"),
    ([Image.new("L", (0, 5))], "number 0: it has no pixels"), (["x" * 5000], "xxx"), (["\0.png"], "null"),
    (["/dev/zero"], "/dev/zero is no file"),
    ([None], "number 0"), (["no such file.png"], "no such file.png: there is no such file"),
])
def test_images_that_cannot_be_used_are_refused_in_a_line(images, message):
    with pytest.raises((ValueError, DataError), match=message) as refused:
        sharedlabel.load(MNIST).predict(images)
    assert "\n" not in str(refused.value)


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and ends where its pixels begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">II", zlib.crc32(chunk), 1000) + b"IDAT"


@pytest.mark.parametrize("name, content, message", [
    ("eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n", "cannot be read as JPEG, PNG, WEBP: cannot identify image file"),
    ("gif.png", b"GIF89a", "cannot be read"), ("empty.png", b"", "cannot be read"),
    ("bomb.png", png_header(60_000, 60_000), "cannot be read as JPEG, PNG, WEBP: .*decompression bomb"),
    ("large.png", png_header(10_000, 10_000), "it has 10000 x 10000 pixels, more than 67108864"),
    ("cut.png", png_header(28, 28), "cannot be read"),
    ("notes.txt", b"two images are blurred", "is no image; a group's folder holds nothing"),
])
def test_files_that_cannot_be_read_are_named(tmp_path, monkeypatch, name, content, message):
    def no_program(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", no_program)
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / name).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "group" / name)) + ".*" + message):
        sharedlabel.load(MNIST).predict_groups(tmp_path)


def test_a_folder_without_groups_and_a_group_without_images_are_named(tmp_path):
    net = sharedlabel.load(MNIST)
    with pytest.raises(DataError, match="has no sub-folder"):
        net.predict_groups(tmp_path)
    with pytest.raises(DataError, match="is a folder; its images are one tuple if it is given alone, not in a list"):
        net.predict([tmp_path])
    with pytest.raises(DataError, match="nothing is no folder"):
        net.predict_groups(tmp_path / "nothing")
    save_group(tmp_path / "loose", [torch.zeros(1, 28, 28, dtype=torch.uint8)])
    (tmp_path / "loose" / "0.png").rename(tmp_path / "a\nb.png")
    with pytest.raises(DataError, match=r"a\\nb\.png is in no sub-folder, so it is of no group"):
        net.predict_groups(tmp_path)
    (tmp_path / "a\nb.png").unlink()
    (tmp_path / "loose").rmdir()
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none holds no image"):
        net.predict_groups(tmp_path)
    with pytest.raises(ParameterError, match="results: there is no folder .*nowhere"):
        sharedlabel.load(MNIST, results=tmp_path / "nowhere")


def test_damaged_facts_are_refused(tmp_path):
    run_notebook("baseline", CNN | {"max_epochs": 1, "n": [1]}, tmp_path)
    file, = tmp_path.rglob("*.json")
    tensors, record = checkpoints.load(file), json.loads(file.read_text())
    del record["provenance"]["checkpoint_sha256"]
    file.write_text(json.dumps(record))
    for text in ("{}", "no JSON", '{"shape": [1, 8, 8], "scale": [], "shift": [0.0], "classes": ["a"]}'):
        file.with_suffix(".safetensors").write_bytes(checkpoints.dumps(tensors, text))
        with pytest.raises(ValueError, match="facts of no data set: "):
            sharedlabel.load(file)
