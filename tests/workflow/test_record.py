"""The parts of the record that lean on the insides of Snakemake, against those insides; looks at what has changed, and at edits."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.cli import get_argument_parser
from snakemake.persistence import PersistenceBase
from snakemake.persistence.file import FilePersistence
from snakemake.scheduling.job_scheduler import JobRateLimiter

from tests.workflow.clones import ROOT
from workflow import machine, record
from workflow.record import books, engine, look, watch
from workflow.record.engine import Output


@pytest.fixture
def persistence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilePersistence:
    """Snakemake's own notes in an empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return FilePersistence()


@pytest.mark.parametrize("path", ["a.txt", "results/birdworld/ours/0/generator.safetensors", "results/" + "long/" * 80 + "x"])
def test_notes_lie_where_snakemake_puts_them(persistence: FilePersistence, path: str):
    for kind in ("metadata", "incomplete"):
        assert str(engine.place_of(kind, path).absolute()) == persistence._record_path(str(engine.HOME.absolute() / kind), path)


def noted(path: str, began: float, ended: float) -> Output:
    """A file that Snakemake has made."""
    output = Output(path)
    output.path.write_text("made")
    os.utime(output.path, (ended, ended))
    output.record.parent.mkdir(parents=True, exist_ok=True)
    output.record.write_text(json.dumps({"starttime": began, "endtime": ended}))
    return output


def test_a_file_is_made_here_until_it_is_touched(persistence: FilePersistence):
    output = noted("a", 10, 20)
    assert output.made_here()
    os.utime("a", (30, 30))
    assert not output.made_here()


def test_a_half_written_note_is_none(persistence: FilePersistence):
    output = noted("a", 10, 20)
    output.record.write_text('{"endt')
    assert not output.made_here()


def test_a_file_is_not_made_from_what_changed_while_it_was_made(persistence: FilePersistence):
    output, before, during = noted("a", 10, 20), noted("b", 1, 9), noted("c", 1, 15)
    assert output.made_from([before])
    assert not output.made_from([before, during])


def test_moving_the_time_moves_the_note(persistence: FilePersistence):
    output = noted("a", 10, 20)
    assert output.move_after(50 * 10**9) and output.made_here()
    assert not output.move_after(40 * 10**9)


def test_distrust_is_what_snakemake_calls_incomplete(persistence: FilePersistence):
    output = noted("a", 10, 20)
    output.distrust()
    assert persistence._filter_incomplete_keys(["a"]) == {"a"}
    output.trust()
    persistence._clear_cache()
    assert persistence._filter_incomplete_keys(["a"]) == set()
    assert output.made_here()


def test_a_note_on_another_file_of_its_name_is_dropped(persistence: FilePersistence):
    output = noted("a", 10, 20)
    os.utime("a", (30, 30))
    output.trust()
    assert not output.record.exists()


def test_a_folder_has_the_time_that_snakemake_gave_it(persistence: FilePersistence):
    Path("folder").mkdir()
    (Path("folder") / ".snakemake_timestamp").touch()
    os.utime("folder/.snakemake_timestamp", (20, 20))
    assert Output("folder").time() == 20 * 10**9


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None], "b": {"c": "avg"}}, ["code.py"], "word", 1])
def test_parameters_are_noted_as_with_pandas(persistence: FilePersistence, monkeypatch: pytest.MonkeyPatch, value: object):
    monkeypatch.setattr(PersistenceBase, "_serialize_param_pandas", PersistenceBase._serialize_param_pandas)
    before = FilePersistence()._serialize_param(value)
    engine.spare_pandas()
    assert persistence._serialize_param(value) == before == repr(value)
    assert persistence._serialize_param.__name__ == "_serialize_param_builtin"


@pytest.mark.parametrize(("arguments", "kept"), [([], False), (["--max-jobs-per-timespan", "5/1s"], True)])
def test_only_a_limit_that_was_asked_for_is_kept(arguments: list[str], kept: bool):
    """Without one Snakemake looks at its jobs when one of them ends, and not each second."""
    limit = get_argument_parser().parse_args(["--cores", "2", *arguments]).max_jobs_per_timespan
    scheduler = SimpleNamespace(job_rate_limiter=JobRateLimiter(limit))
    engine.spare_rounds(SimpleNamespace(scheduler=scheduler))
    assert bool(scheduler.job_rate_limiter) == kept


@pytest.fixture
def looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> books.Stages:
    """Files of a stage, looked at long after they were written."""
    monkeypatch.chdir(tmp_path)
    Path("bank").mkdir()
    for path in ("params.yaml", "dvc.lock", "code.py", "bank/shard"):
        Path(path).write_text("before")
    stages = {"a@b": {"outs": ["bank", "missing"], "deps": ["code.py"], "changed": {"changed outs": {"missing": "deleted"}}}}
    look.keep(stages, time.time() + 60)
    return stages


def test_a_look_holds_while_nothing_changes(looked: books.Stages):
    assert look.last() == looked
    Path("results").mkdir()  # nothing that it was about
    assert look.last() == looked


@pytest.mark.parametrize(
    "path", ["params.yaml", "dvc.lock", "dvc.yaml", ".dvc/config", "code.py", "bank/shard", "bank/new", "missing"]
)
def test_a_look_holds_no_longer_once_a_file_changes(looked: books.Stages, path: str):
    Path(path).parent.mkdir(exist_ok=True)
    existed = Path(path).exists()
    Path(path).write_text("behind")
    os.utime(path, (1, 1))  # as `cp -p` and git may leave it
    assert look.last() is None
    if existed:
        Path(path).unlink()
        assert look.last() is None


def test_a_look_ahead_is_the_next_run_s(looked: books.Stages, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(look, "SLACK", 0.05)
    monkeypatch.setattr(books, "ask", lambda: asked.append("asked") or "a process")
    monkeypatch.setattr(books, "status", lambda _: looked)
    Path("dvc.lock").write_text("just written")
    look.ahead()
    assert asked == ["asked"]
    assert look.start()() == looked
    assert asked == ["asked"]


@pytest.mark.parametrize(("seconds", "looks"), [(look.WORTH - 1, 0), (look.WORTH + 1, 1)])
def test_only_a_long_run_looks_ahead(monkeypatch: pytest.MonkeyPatch, seconds: float, looks: int):
    seen = []
    monkeypatch.setattr(record, "_run", SimpleNamespace(lasted=lambda: seconds))
    monkeypatch.setattr(record, "enter", lambda *_: seen.append("entered"))
    monkeypatch.setattr(look, "ahead", lambda: seen.append("looked"))
    record.after()
    assert seen == ["entered", "looked"][: 1 + looks]


def test_a_look_at_what_has_just_changed_is_not_kept(looked: books.Stages):
    look.LAST.unlink()
    look.keep(looked, time.time())
    assert look.last() is None


def test_half_a_look_is_none(looked: books.Stages):
    look.LAST.write_text(look.LAST.read_text()[:-9])
    assert look.last() is None


def test_what_params_yaml_said_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    engine.HOME.mkdir()
    lines = [
        json.dumps({"since": since, "text": text}) for since, text in ((10, "a: 1"), (20, "a: 2"), (30, "a: [1"), (40, "a: 1"))
    ]
    watch.NOTES.write_text("\n".join([*lines, '{"since": 5']))
    os.utime(watch.NOTES, (50, 50))

    def said(start: float, end: float) -> list[int]:
        return sorted(tree["a"] for tree in watch.said(start, end))

    assert said(11, 19) == [1]
    assert said(11, 20 - watch.PERIOD) == [1, 2], "it had changed before it was seen"
    assert said(21, 29) == [2]
    assert said(31, 39) == []
    assert said(5, 99) == [1, 2]
    assert said(51, 99) == [], "nobody watched any more"
    Path("params.yaml").write_text("a: 3")
    monkeypatch.setattr(watch, "_watch", lambda _: None)  # tests/workflow/test_sharing.py has a thread look
    watch.begin()
    assert said(45, time.time()) == [1, 3]
    assert said(51, time.time()) == [3]


def test_a_second_run_is_refused_and_a_look_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    program = "from workflow.record import engine; {}; input()"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}

    def other(what: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", program.format(what)], stdin=subprocess.PIPE, env=env)

    engine.HOME.mkdir()
    look = other("engine.other_run(); open('looked', 'w')")
    wait_for(tmp_path / "looked")
    assert engine.other_run() is None
    run = other("engine.claim(); open('runs', 'w')")
    wait_for(tmp_path / "runs")
    with pytest.raises(SystemExit, match=rf"^error: another snakemake \(PID {run.pid}\) is at work here"):
        engine.claim()
    for process in (look, run):
        process.kill()
        process.wait()
    assert engine.other_run() is None


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("cores", "threads", "share"), [(2, 1, 50), (16, 1, 6), (2, 4, 100), (128, 1, 1), (None, 1, 100)])
def test_heavy_jobs_share_the_machine(monkeypatch: pytest.MonkeyPatch, cores: int | None, threads: int, share: int):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert machine.percent(threads) == share
