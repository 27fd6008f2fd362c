"""Fresh clones of this repository in temporary folders, in the nano configuration, and the users' commands in them.

Most clones hold the real steps. Where only the engines' dealings are tested, stand-ins take their place: they take the same
arguments, import one another as the real ones do, and write a digest of what they read.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
TABLE = "results/table1.csv"
ONE_WORLD = ("datasets: [birdworld, sceneworld]", "datasets: [birdworld]")
STAND_IN = Path(__file__).with_name("stand_in.py")
STAND_IN_STATE = "results/birdworld/ours/0/state/*[0-9a-f]"  # is there while the stand-in for training is at work
LEFT_BY_RUNS = ("dvc.lock", "ablations", "results")  # what a user's own runs have recorded, committed or not
STRANGE = ("DVC_", "MEMGAN_", "PYTEST_", "PYTHON")  # variables that a user's shell does not have
IMPORTS = {
    "memory.features": "encoders.vgg",
    "memory.bank": "encoders.damsm",
    "gan.train": "memory.bank",
    "gan.sample": "gan.train",
}


class Clone:
    """A clone, and commands run in it with this interpreter."""

    def __init__(self, path: Path):
        self.path = path
        self.made: list[str] = []  # rules that Snakemake ran, where a fixture notes them
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)}
        self.env |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "MEMGAN_LIVE": "off",  # DVCLive takes a second or two of each training
            "DVC_SITE_CACHE_DIR": str(path.parent / "dvc-site"),
            **{f"GIT_{who}_{what}": "tests@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def run(self, command: str, check: bool = True, timeout: float = 600, **env: str) -> subprocess.CompletedProcess[str]:
        """A shell command's outcome, both streams in `stdout`."""
        done = subprocess.run(
            command, shell=True, cwd=self.path, env=self.env | env, text=True, timeout=timeout, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout[-6000:]}"
        return done

    def snakemake(self, arguments: str = TABLE, **env: str) -> list[str]:
        """Makes something with Snakemake; the rules that it ran."""
        return ran(self.run(f"snakemake --cores 2 {arguments}", **env).stdout)

    def planned(self, target: str = TABLE) -> list[str]:
        """What Snakemake would run."""
        said = self.run(f"snakemake -n {target}").stdout
        assert ("Nothing to be done" in said) != bool(ran(said)), said
        return ran(said)

    def repro(self, arguments: str = "", **env: str) -> list[str]:
        """Makes Table 1 with DVC; the stages whose commands it ran."""
        return stages(self.run(f"dvc repro {arguments}", **env).stdout)

    def status(self) -> dict[str, list]:
        """What DVC finds changed."""
        done = subprocess.run(["dvc", "status", "--json"], cwd=self.path, env=self.env, capture_output=True, check=True)
        return json.loads(done.stdout or "{}")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replaces a text that stands in the file once."""
        path = self.path / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} holds {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new))

    def commit(self) -> None:
        """Commits everything to git."""
        self.run("git add -A && git commit -qm 'a state'")

    def copy(self, path: Path) -> "Clone":
        """Another clone in the same state, file times and caches included."""
        subprocess.run(["cp", "-a", str(self.path), str(path)], check=True)
        return Clone(path)

    def digests(self) -> dict[str, str]:
        """What the record says of the results: hash by path."""
        lock = yaml.safe_load((self.path / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}

    def killed(self, command: str, sign: str, after: float = 0, **env: str) -> bool:
        """Starts a command, and kills it and all that it started `after` seconds after a file of the pattern `sign` is there.

        Whether there still was something to kill.
        """
        process = self.started(command, **env)
        self.wait_for(sign, process)
        time.sleep(after)
        alive = process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True) if alive else []
        for member in (process, *family):
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                member.kill()
        process.wait()
        # Orphans are reaped by the system in its own time; until then DVC takes the holder of its lock for alive.
        _, left = psutil.wait_procs(family, timeout=60)
        assert not left, f"killed, and not gone after a minute: {left}"
        return alive

    def started(self, command: str, **env: str) -> subprocess.Popen[str]:
        """A command that goes on beside the test; both streams in its `stdout`."""
        return subprocess.Popen(
            command, shell=True, cwd=self.path, env=self.env | env, text=True,
            stdout=(self.path.parent / "said").open("w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def wait_for(self, sign: str, process: subprocess.Popen[str]) -> None:
        """Waits until a file of that pattern is there."""
        deadline = time.monotonic() + 600
        while not any(self.path.glob(sign)):
            assert time.monotonic() < deadline and process.poll() is None, f"{sign} never came:\n{self.said()}"
            time.sleep(0.05)

    def said(self) -> str:
        """What the command that was started has said."""
        return (self.path.parent / "said").read_text()[-6000:]


def make(path: Path, *edits: tuple[str, str], stand_ins: bool = False, nano: bool = True) -> Clone:
    """A clone of the working tree in the nano configuration, changed by `edits` (old, new), derived anew and committed.

    Nothing is made or recorded in it yet, whatever was made in the working tree.
    """
    listing = ["git", "ls-files", "-co", "--exclude-standard", "-z", "--", ".", *(f":!{name}" for name in LEFT_BY_RUNS)]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    if nano:
        shutil.copy(ROOT / "tests/e2e/params.yaml", path / "params.yaml")
    clone = Clone(path)
    for old, new in edits:
        clone.edit("params.yaml", old, new)
    clone.run("git init -q -b main .")
    if stand_ins:
        put_stand_ins(clone)
    if nano:
        clone.run("python -m workflow.derive", PYTHONPATH="src")
    clone.commit()
    return clone


def put_stand_ins(clone: Clone) -> None:
    """Replaces each step that a rule names by a stand-in."""
    package = clone.path / "src/memgan"
    shutil.copy(STAND_IN, package / "stand_in.py")
    rules = "".join(file.read_text() for file in (clone.path / "workflow/rules").glob("*.smk"))
    for module in sorted(set(re.findall(r'code\("memgan\.(.+?)"\)', rules))):
        imports = f"import memgan.{IMPORTS[module]}\n" if module in IMPORTS else ""
        main = f"VALUE = 0\nif __name__ == '__main__':\n    stand_in('{module}', VALUE)\n"
        text = f"{imports}from memgan.stand_in import stand_in\n\n{main}"
        (package / f"{module.replace('.', '/')}.py").write_text(text)


def ran(said: str) -> list[str]:
    """Names of the rules whose jobs Snakemake announced, without those that only name targets."""
    names = re.findall(r"^(?:local)?rule (\w+):$", said, re.MULTILINE)
    return sorted(name for name in names if name not in ("default", "all"))


def stages(said: str) -> list[str]:
    """Names of the stages whose commands DVC ran."""
    return sorted(name.partition("@")[0] for name in re.findall(r"Running stage '([^']+)'", said))
