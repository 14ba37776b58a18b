"""Engines: the same numbers in every mode, nothing done twice, nothing lost to a failure or a killed worker."""

import json
import os
from dataclasses import replace

import pytest
import torch

from diffopt.errors import DiffoptError
from diffopt.evaluation import parallel
from diffopt.evaluation.engines import Attempts, in_processes
from diffopt.evaluation.parallel import ParallelOptions, cuda_devices, read_record, run_tasks
from tests.evaluation.chores import Chore, attempts_of, do, where

SERIAL, PROCESSES = ParallelOptions(), ParallelOptions(engine="processes", workers=2)


def chores(folder, *mishaps):
    (folder / "marks").mkdir(exist_ok=True)
    return {f"chore-{number}": Chore(number, str(folder / "marks"), mishap) for number, mishap in enumerate(mishaps)}


def values(records):
    return {key: record.result["value"] for key, record in records.items() if record.done}


def test_two_processes_find_the_same_as_one(tmp_path):
    tasks = chores(tmp_path, "", "", "", "", "")

    alone = run_tasks(do, tasks, tmp_path / "serial", SERIAL)
    together = run_tasks(do, tasks, tmp_path / "processes", PROCESSES, device="cpu")

    assert list(values(together)) == list(tasks)
    assert values(together) == values(alone)


def test_a_killed_worker_loses_nothing(tmp_path):
    tasks = chores(tmp_path, "", "killed", "", "deadly", "", "killed")

    records = run_tasks(do, tasks, tmp_path / "records", PROCESSES, device="cpu")

    healthy = {key: replace(chore, mishap="") for key, chore in tasks.items() if key != "chore-3"}
    assert values(records) == values(run_tasks(do, healthy, tmp_path / "healthy", SERIAL))
    assert records["chore-1"].attempts == 2 and records["chore-0"].attempts == 1
    assert records["chore-3"].error == "Its worker process died (SIGKILL)." and records["chore-3"].attempts == 2


@pytest.mark.parametrize("options", [SERIAL, PROCESSES], ids=["serial", "processes"])
def test_failures_are_tried_again_kept_and_do_not_stop_the_others(tmp_path, options):
    tasks = chores(tmp_path, "once", "always", "input", "unfit", "")

    records = run_tasks(do, tasks, tmp_path / "records", replace(options, retries=2), device="cpu")

    assert {key for key, record in records.items() if record.done} == {"chore-0", "chore-4"}
    assert [records[key].attempts for key in tasks] == [2, 3, 1, 3, 1]
    kept = json.loads((tmp_path / "records" / "chore-1.json").read_text())
    assert kept["error"] == "RuntimeError: chore 1 went wrong" and "in do" in kept["trace"]
    assert records["chore-2"].error == "walk.npz: no such file."


def test_an_interrupted_run_goes_on_and_repeats_nothing(tmp_path):
    tasks = chores(tmp_path, "", "", "")

    def stop_after_two(record):
        if record.key == "chore-1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks(do, tasks, tmp_path / "records", SERIAL, on_record=stop_after_two)
    (tmp_path / "records" / ".chore-2.99.partial.json").write_text('{"key": "cho')  # what a crash leaves behind
    records = run_tasks(do, tasks, tmp_path / "records", PROCESSES, device="cpu")

    assert len(values(records)) == 3
    assert [attempts_of(chore) for chore in tasks.values()] == [1, 1, 1]


def test_failures_and_changed_tasks_are_done_anew(tmp_path):
    tasks = chores(tmp_path, "", "always")
    before = run_tasks(do, tasks, tmp_path / "records", replace(SERIAL, retries=0))
    changed = {"chore-0": replace(tasks["chore-0"], number=7), "chore-1": tasks["chore-1"]}

    after = run_tasks(do, changed, tmp_path / "records", replace(SERIAL, retries=0))

    assert values(after)["chore-0"] != values(before)["chore-0"]
    assert attempts_of(tasks["chore-1"]) == 2
    assert read_record(tmp_path / "records" / "chore-0.json") == after["chore-0"]


def test_records_come_in_as_they_are_done_those_that_were_there_first(tmp_path):
    tasks = chores(tmp_path, "", "")
    run_tasks(do, {"chore-1": tasks["chore-1"]}, tmp_path / "records", SERIAL)
    heard = []

    run_tasks(do, tasks, tmp_path / "records", SERIAL, on_record=lambda record: heard.append(record.key))

    assert heard == ["chore-1", "chore-0"]


def test_every_process_has_a_device_of_its_own(tmp_path):
    tasks = chores(tmp_path, "", "", "", "")
    places = [{"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    before = dict(os.environ)

    found = [outcome.result for outcome in in_processes(where, Attempts(tasks, 0), places, threads=3)]

    assert os.getpid() not in {one["pid"] for one in found} and {one["threads"] for one in found} == {"3"}
    assert {one["cuda"] for one in found} == {"3", "5"}
    assert len({one["pid"] for one in found}) == len({(one["pid"], one["cuda"]) for one in found}) == 2
    assert dict(os.environ) == before


def test_devices_are_those_that_are_visible(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cuda_devices("auto") == ["0", "1"] and cuda_devices("cpu") == []

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert cuda_devices("cuda") == ["4", "6"]


def test_one_worker_per_device_or_else_per_core(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        parallel, "in_processes", lambda work, attempts, places, threads: asked.append(places) or iter(())
    )
    monkeypatch.setattr(parallel, "cuda_devices", lambda device: ["0", "1", "2"] if device == "auto" else [])
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    options = ParallelOptions(engine="processes")

    for device in ("auto", "cpu"):
        with pytest.raises(KeyError):  # nothing was run
            run_tasks(do, chores(tmp_path, ""), tmp_path / "records", options, device=device, threads=2)

    assert asked == [[{"CUDA_VISIBLE_DEVICES": str(index)} for index in range(3)], [{}] * 4]


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(DiffoptError, match=r"'parallel\.engine' is 'threads'; choose one of serial, processes, ray"):
        run_tasks(do, {}, tmp_path, ParallelOptions(engine="threads"))
    with pytest.raises(DiffoptError, match=r"'parallel\.retries' is -1"):
        run_tasks(do, {}, tmp_path, ParallelOptions(retries=-1))
    with pytest.raises(ValueError, match="'a/b'"):
        run_tasks(do, {"a/b": 1}, tmp_path, SERIAL)


@pytest.mark.slow
def test_two_ray_workers_find_the_same_and_survive_a_kill(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'diffopt[cluster]')")
    tasks = chores(tmp_path, "", "killed", "always", "", "deadly", "")
    healthy = {key: replace(chore, mishap="") for key, chore in tasks.items() if chore.number not in (2, 4)}

    records = run_tasks(do, tasks, tmp_path / "ray", replace(PROCESSES, engine="ray"), device="cpu")

    assert values(records) == values(run_tasks(do, healthy, tmp_path / "serial", SERIAL))
    assert [records[key].attempts for key in tasks] == [1, 2, 2, 1, 2, 1]
    assert records["chore-2"].error == "RuntimeError: chore 2 went wrong"
    assert "Ray worker was lost" in records["chore-4"].error
