"""All contact with Snakemake's insides: its notes on files, its locks, its graph of jobs. pyproject.toml pins the version."""

import base64
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

HOME = Path(".snakemake")
_held: list[IO[str]] = []


class Output:
    """A file or folder that a rule makes, with Snakemake's notes on it."""

    def __init__(self, path: str):
        self.path = Path(path)
        stamp = self.path / ".snakemake_timestamp"  # Snakemake's clock for folders
        self.clock = stamp if stamp.exists() else self.path
        self.record, self.incomplete = place_of("metadata", path), place_of("incomplete", path)

    def exists(self) -> bool:
        """Whether it is there, if only as a dangling link."""
        return os.path.lexists(self.path)

    def time(self) -> int:
        """When it was made, in ns."""
        return os.lstat(self.clock).st_mtime_ns

    def time_as_input(self) -> int:
        """The later of a link's and its target's time, as Snakemake reads it, in ns."""
        return max(self.time(), self.clock.stat().st_mtime_ns)

    def made_here(self) -> bool:
        """Whether Snakemake's note describes this very file: finished, and not touched since."""
        note = self._note()
        return bool(note) and not self.incomplete.exists() and abs(note["endtime"] - self.time() / 1e9) < 1e-3

    def made_from(self, inputs: Iterable["Output"]) -> bool:
        """Whether this Snakemake made it, and these inputs have not changed since it began to."""
        return self.made_here() and all(one.time() / 1e9 <= self._note()["starttime"] for one in inputs if one.exists())

    def period(self) -> tuple[float, float] | None:
        """When its job began and ended, in seconds, if this Snakemake made it."""
        return (self._note()["starttime"], self._note()["endtime"]) if self.made_here() else None

    def _note(self) -> dict[str, Any]:
        try:
            note = json.loads(self.record.read_text())
        except (FileNotFoundError, ValueError):  # there is none, or a kill cut it off
            return {}
        return note if {"starttime", "endtime"} <= note.keys() else {}

    def trust(self) -> None:
        """Makes Snakemake take it for finished; a note on another file of its name is dropped."""
        self.incomplete.unlink(missing_ok=True)
        if not self.made_here():
            self.record.unlink(missing_ok=True)

    def distrust(self) -> None:
        """Makes Snakemake take it for half-made."""
        self.incomplete.parent.mkdir(parents=True, exist_ok=True)
        self.incomplete.write_text('{"external_jobid": null}')

    def move_after(self, time: int) -> bool:
        """Puts its time at `time` (ns) if it is earlier, and Snakemake's note with it."""
        if self.time() >= time:
            return False
        mine = self.made_here()
        os.utime(self.clock, ns=(time, time), follow_symlinks=False)
        if mine:
            self.record.write_text(json.dumps(self._note() | {"endtime": self.time() / 1e9}))
        return True


def place_of(kind: str, path: str) -> Path:
    """Where Snakemake's FilePersistence keeps its note on an output."""
    name = base64.urlsafe_b64encode(path.encode()).decode()
    longest = os.pathconf(HOME, "PC_NAME_MAX") - 1 if HOME.exists() else 254
    parts = [name[at : at + longest] for at in range(0, len(name), longest)]
    return HOME.joinpath(kind, *(f"@{part}" for part in parts[:-1]), parts[-1])


def renew_benchmarks() -> None:
    """Snakemake counts a job's benchmark among its outputs; one that is older than a restored output would make it stale."""
    for path in Path("logs").rglob("*.tsv"):
        path.touch()


def is_main(workflow: Any) -> bool:
    """False in the processes that Snakemake starts for single jobs."""
    return workflow.is_main_process


def reporting() -> bool:
    """Whether this is `snakemake --report`, which makes nothing; Snakemake tells its rules only by the command line."""
    return any(word.partition("=")[0] == "--report" for word in sys.argv)


def found_nothing_to_do(workflow: Any) -> bool:
    """Whether a real run got as far as finding that every output is up to date."""
    real = workflow.executor_plugin and not workflow.dryrun and not workflow.touch
    return bool(real and workflow.scheduler and not len(workflow.dag))


def spare_pandas() -> None:
    """Snakemake imports pandas, for up to a second, to see whether a parameter is a table; our rules' never are."""
    from snakemake.persistence import PersistenceBase

    PersistenceBase._serialize_param_pandas = PersistenceBase._serialize_param_builtin


def spare_rounds(workflow: Any) -> None:
    """Lifts Snakemake's own limit of 100 jobs a second; one that was asked for (`--max-jobs-per-timespan`) stays.

    With a limit, Snakemake looks at all ready jobs again each second, once for every job that has ended: after a hundred jobs, that
    is half a core.
    """
    limit = workflow.scheduler.job_rate_limiter
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def settings(workflow: Any) -> Mapping[str, Any]:
    """The configuration that the rules were read with."""
    return workflow.globals["config"]


def is_good(dag: Any, job: Any) -> bool:
    """Whether a job's outputs are good: made just now, or found up to date."""
    return dag.finished(job) or not dag.needrun(job)


@contextmanager
def turn() -> Iterator[None]:
    """Only one process at a time looks into the record. The system ends the turn, however the process ends."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "turn").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def other_run() -> str | None:
    """The Snakemake that is making something here, if there is another."""
    with (HOME / "running").open("a+") as file:
        if _locked(file):
            return None
        file.seek(0)
        return f"another snakemake (PID {file.read().strip()})"


def claim() -> None:
    """Makes this process the one that runs here, until it ends. Ends it with one line if there is another."""
    with turn():  # else another's look whether one runs would pass for a run
        if other := other_run():
            sys.exit(f"error: {other} is at work here; wait for it, or end it")
        file = (HOME / "running").open("a+")
        _locked(file)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _held.append(file)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clear_locks() -> None:
    """Removes the locks of a killed Snakemake; call it when no other runs."""
    shutil.rmtree(HOME / "locks", ignore_errors=True)


def graph(targets: Iterable[str]) -> Any:
    """The graph of all jobs for these targets, up to date or not; nothing is run."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        flow = api.workflow(resource_settings=ResourceSettings(cores=1), snakefile=Path("Snakefile"))
        flow.dag(DAGSettings(targets=set(targets), forceall=True))
        flow._workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        flow._workflow._build_dag()
        return flow._workflow.dag


def filled(dag: Any, rule: Any, wildcards: Mapping[str, str]) -> Any:
    """The rule as a job with these wildcards, which may be placeholders."""
    from snakemake.jobs import Job

    return Job(rule, dag, dict(wildcards))


def command(job: Any) -> str:
    """The job's shell line."""
    from snakemake.utils import format as fill

    return fill(job.rule.shellcmd, input=job.input, output=job.output, wildcards=job.wildcards, log=job.log)


def order(dag: Any) -> list[str]:
    """Names of the graph's rules, each after those whose outputs it reads."""
    return list(dict.fromkeys(name for level in dag.toposorted() for name in sorted(job.rule.name for job in level)))
