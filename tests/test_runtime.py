"""Devices, threads and memory, locks between processes, random streams."""
import os
import platform
import subprocess
import sys

import pytest
import torch

import sharedlabel
from sharedlabel import ROOT, runtime


def test_streams_repeat_and_differ_by_seed_and_by_purpose():
    keys = [(seed, purpose) for seed in (0, 1, 2) for purpose in ("batches", "split")]
    draws = {key: torch.rand(4, generator=runtime.random_stream(*key)) for key in keys}
    again = {key: torch.rand(4, generator=runtime.random_stream(*key)) for key in draws}
    assert all(torch.equal(draws[key], again[key]) for key in draws)
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == len(draws)


@pytest.mark.parametrize("seed, purpose, number", [(0, "batches", 866635514), (3, "initialisation", 387947905)])
def test_streams_are_those_of_the_committed_records(seed, purpose, number):
    assert int(torch.randint(2**31, (1,), generator=runtime.random_stream(seed, purpose))) == number


def test_a_seed_may_be_large():
    large = [torch.rand(4, generator=runtime.random_stream(seed, "batches")) for seed in (2**31, 2**32, 2**80)]
    assert len({tuple(draw.tolist()) for draw in large}) == 3


def test_drawing_from_one_stream_leaves_the_others_alone():
    expected = torch.rand(4, generator=runtime.random_stream(0, "batches"))
    torch.rand(100, generator=runtime.random_stream(0, "split"))
    torch.manual_seed(7)
    assert torch.equal(torch.rand(4, generator=runtime.random_stream(0, "batches")), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so cuda is not refused")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_refused_and_a_way_out_is_named(name):
    with pytest.raises(ValueError, match=f"device: '{name}' was asked for, but torch sees no GPU here; use 'auto'"):
        runtime.select_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "cudaa", "meta", ""])
def test_an_unknown_device_is_refused_and_the_known_ones_are_named(name):
    with pytest.raises(ValueError, match=f"^device: '{name}' is unknown; allowed: auto, cpu, cuda, cuda:N"):
        runtime.select_device(name)


def test_of_several_gpus_processes_take_different_ones(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    taken, current = [], []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    for number in range(100, 108):
        monkeypatch.setattr(runtime.os, "getpid", lambda number=number: number)
        taken.append(runtime.select_device("auto").index)
    assert sorted(taken) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert current == taken  # a step is recorded on the current one
    runtime.select_device("cuda:2"), runtime.select_device("cuda")
    assert current[-2:] == [2, 0]


def test_auto_is_the_gpu_where_there_is_one():
    assert runtime.select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_lock_or_a_folder_that_cannot_be_written_to_hinders_nobody(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("not yours")

    monkeypatch.setattr(runtime.os, "open", refuse)  # root may write everywhere
    with runtime.exclusive_lock(tmp_path / "lock"):
        assert not (tmp_path / "lock").exists()


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="another C library's allocator is left as it is")
def test_freed_memory_is_kept_for_the_next_step():
    """In a process of its own, as the allocator of this one was set long ago: page faults of twenty steps that take 16 MB each."""
    script = """
import resource, torch
from sharedlabel import runtime
runtime.select_device("cpu")
faults = []
for _ in range(25):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [torch.ones(1 << 20) for _ in range(4)]
    del parts
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sum(faults[5:]))  # by then the heap has its size
"""
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=here)
    assert int(told.stdout) < 4000  # as many as one step has without it


def test_a_file_system_without_locks_hinders_nobody(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(runtime.fcntl, "flock", refuse)
    with runtime.exclusive_lock(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()


def test_the_package_is_imported_below_a_home_that_is_closed(closed_folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(closed_folder / "cache"))
    sharedlabel.keep_compiled_code()


def test_a_lock_does_not_write_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("as it was")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with runtime.exclusive_lock(tmp_path / "lock"):
        assert (tmp_path / "mine").read_text() == "as it was"
