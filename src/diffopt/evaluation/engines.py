"""The three ways to get tasks done; each yields one outcome per task as it comes in, in any order."""

import json
import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from diffopt.errors import DiffoptError

Work = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """One attempt at one task."""

    key: str
    seconds: float = 0.0
    result: Mapping[str, Any] | None = None
    error: str | None = None
    trace: str | None = None
    hopeless: bool = False
    """It would fail the same way again: the input has to be mended first."""


class Attempts:
    """Which tasks wait, and how often each was tried."""

    def __init__(self, tasks: Mapping[str, Any], retries: int) -> None:
        self.tasks = dict(tasks)
        self.waiting = deque(tasks)
        self.made: Counter[str] = Counter()
        self.retries = retries

    def next_task(self) -> str:
        """The next task; it counts as tried."""
        key = self.waiting.popleft()
        self.made[key] += 1
        return key

    def is_final(self, outcome: Outcome) -> bool:
        """Whether this was the last attempt; if not, the task waits again."""
        if outcome.error is None or outcome.hopeless or self.made[outcome.key] > self.retries:
            return True
        self.waiting.append(outcome.key)
        return False


def attempt(work: Work, key: str, task: Any) -> Outcome:
    """Do one task; whatever it raises becomes its outcome."""
    started = time.perf_counter()
    try:
        result = work(task)
        json.dumps(result, allow_nan=False)  # what cannot be kept is no result
        outcome = Outcome(key, result=result)
    except Exception as error:  # one task's failure, whatever it is, must not stop the others
        told = str(error) if isinstance(error, DiffoptError) else f"{type(error).__name__}: {error}"
        outcome = Outcome(key, error=told, trace=traceback.format_exc(), hopeless=isinstance(error, DiffoptError))
    return replace(outcome, seconds=time.perf_counter() - started)


def in_this_process(work: Work, attempts: Attempts) -> Iterator[Outcome]:
    """One after the other, here."""
    while attempts.waiting:
        key = attempts.next_task()
        outcome = attempt(work, key, attempts.tasks[key])
        if attempts.is_final(outcome):
            yield outcome


def in_processes(work: Work, attempts: Attempts, places: list[dict[str, str]], threads: int) -> Iterator[Outcome]:
    """In as many fresh processes as there are places; a place is what its process has in the environment.

    `ProcessPoolExecutor` gives up altogether when one of its processes is killed; here only the task in hand is lost,
    and it is tried again in a new process.
    """
    workers = [_Worker(work, place, threads) for place in places[: len(attempts.waiting)]]
    try:
        for worker in workers:
            worker.assign(attempts)
        while busy := {worker.channel: worker for worker in workers if worker.key is not None}:
            for channel in wait(list(busy)):
                worker = busy[channel]  # type: ignore[index]  # only connections are waited for
                outcome = worker.receive()
                if attempts.is_final(outcome):
                    yield outcome
            for worker in workers:
                if worker.key is None and attempts.waiting:
                    worker.assign(attempts)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A process with one task at a time, replaced when it dies."""

    def __init__(self, work: Work, place: dict[str, str], threads: int) -> None:
        self.work, self.environment = work, place | _threads(threads)
        self.key: str | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.work), daemon=True)
        with _environment(self.environment):
            self.process.start()
        theirs.close()  # so that the process' death ends the channel

    def assign(self, attempts: Attempts) -> None:
        if not self.process.is_alive():
            self.channel.close()
            self._start()
        self.key = attempts.next_task()
        self.started = time.perf_counter()
        with suppress(BrokenPipeError):  # it died meanwhile; `receive` finds out
            self.channel.send((self.key, attempts.tasks[self.key]))

    def receive(self) -> Outcome:
        assert self.key is not None
        key, self.key = self.key, None
        try:
            return self.channel.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Outcome(key, time.perf_counter() - self.started, error=f"Its worker process died ({how}).")

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.channel.close()


def _serve(channel: Connection, work: Work) -> None:
    """A worker's life: tasks in, outcomes out, until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to answer
    while True:
        try:
            key, task = channel.recv()
        except (EOFError, OSError):
            return
        channel.send(attempt(work, key, task))


def _threads(threads: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """A new process inherits these; libraries read them before any of our code runs."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def on_ray(work: Work, attempts: Attempts, workers: int, threads: int, device: str, address: str) -> Iterator[Outcome]:
    """As tasks of a Ray cluster, each on a GPU of its own where the cluster has any.

    Args:
        work: what to do.
        attempts: the tasks.
        workers: how many at a time, on a cluster made for the purpose.
        threads: CPUs that a task asks for.
        device: `cpu` leaves the GPUs alone.
        address: a running cluster; empty makes one on this machine.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise DiffoptError(
            "parallel.engine=ray: Ray is not installed; install it with `pip install 'diffopt[cluster]'`, or take "
            "parallel.engine=processes."
        ) from error

    owned = not ray.is_initialized()
    if owned:
        cluster: dict[str, Any] = {"address": address}
        if not address:
            cluster = {"address": "local", "num_cpus": workers * threads, "include_dashboard": False}
        environment = {"env_vars": _threads(threads)}
        ray.init(**cluster, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)
    try:
        gpus = 1 if device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1 else 0
        remote = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0)(attempt)
        shared = ray.put(work)
        running: dict[Any, str] = {}
        while attempts.waiting or running:
            while attempts.waiting:
                key = attempts.next_task()
                running[remote.remote(shared, key, attempts.tasks[key])] = key
            finished, _ = ray.wait(list(running), num_returns=1)
            key = running.pop(finished[0])
            try:
                outcome = ray.get(finished[0])
            except RayError as error:
                outcome = Outcome(key, error=f"Its Ray worker was lost ({type(error).__name__}).", trace=str(error))
            if attempts.is_final(outcome):
                yield outcome
    finally:
        if owned:
            ray.shutdown()
