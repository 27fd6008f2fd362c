"""Writes the shards of a data set so that a killed run goes on where it was: the same bytes as if nothing had happened.

Shards grow in `<folder of the output>/state/<its name>/<key>/`, beside a journal with a line for each record that is done; the key
is a hash of parameters, code and inputs. Of shards, whatever the journal does not vouch for is cut off again.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from memgan.data.shards import SPLITS
from memgan.steps import log

PER_SHARD = 2000
SYNC_EVERY = 256  # records; what a killed run may have to do again


class Shards:
    """One split's tar files of at most PER_SHARD samples, the same bytes for the same samples."""

    def __init__(self, folder: Path, split: str, form: str):
        self.folder, self.split, self.form = folder, split, form
        self.rows: list[dict[str, Any]] = []
        self._keys: set[str] = set()
        self._file: Any = None

    def add(self, known: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Append one sample; returns its index row: its key, what is `known` of it, its place."""
        if len(self.rows) % PER_SHARD == 0:
            self.close()
        if self._file is None:
            self._file = (self.folder / self._name()).open("wb")
        key = self._key(known["id"])
        member = tarfile.TarInfo(f"{key}.{self.form}")
        member.size, member.mode = len(data), 0o444
        self._file.write(member.tobuf(tarfile.USTAR_FORMAT))
        row = {"key": key, **known, "shard": self._name(), "offset": self._file.tell(), "bytes": len(data)}
        self._file.write(data + bytes(-len(data) % tarfile.BLOCKSIZE))
        self.rows.append(row)
        return row

    def sync(self) -> None:
        """What was added is on the disk."""
        if self._file:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Finish the open shard as tar files end: two empty blocks, filled up to a whole record."""
        if self._file:
            end = self._file.tell() + 2 * tarfile.BLOCKSIZE
            self._file.write(bytes(2 * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))
            self.sync()
            self._file.close()
            self._file = None

    def drop(self) -> None:
        """Lets go of the open shard as it is."""
        if self._file:
            with suppress(OSError):  # the disk may be full
                self._file.close()
            self._file = None

    def restore(self, row: dict[str, Any]) -> bool:
        """Takes up a row of an earlier run; False if its shard does not hold it."""
        path, end = self.folder / row["shard"], row["offset"] + row["bytes"]
        if not path.is_file() or path.stat().st_size < end:
            return False
        self.rows.append(row)
        self._keys.add(row["key"])
        return True

    def reopen(self) -> None:
        """Goes on after the last row: cuts off what follows it, and reopens its shard unless that is full."""
        if self.rows and (place := self.rows[-1]):
            end = place["offset"] + place["bytes"]
            self._file = (self.folder / place["shard"]).open("r+b")
            self._file.truncate(end + -end % tarfile.BLOCKSIZE)
            self._file.seek(0, os.SEEK_END)

    def _name(self) -> str:
        return f"{self.split}-{len(self.rows) // PER_SHARD:05d}.tar"

    def _key(self, name: str) -> str:
        """A file name from an id: WebDataset takes what follows the first dot as the kind, and tar limits the length."""
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[-80:]
        key, count = base, 1
        while key in self._keys:
            count += 1
            key = f"{base}-{count}"
        self._keys.add(key)
        return key


class Writer:
    """The shards of both splits and their journal. Use as a context: it holds a lock, which the system frees on any end."""

    def __init__(self, out: Path, key: Mapping[str, Any], form: str):
        self.out, self.root = out, out.parent / "state" / out.name
        self.folder = self.root / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        self.journal = self.folder.with_suffix(".journal")
        self.shards = {split: Shards(self.folder, split, form) for split in SPLITS}
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = (self.root / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting: another process, perhaps of a killed run, still makes %s", self.out)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        for other in sorted(path for path in self.root.iterdir() if path.is_dir() and path != self.folder):
            log.info("not resumed, since it is of other parameters, code or inputs: the stale state %s", other)
        self.folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, fault: type | None, *_: object) -> None:
        if fault:
            for each in self.shards.values():
                each.drop()
        self._lock.close()

    def resumed(self) -> Iterator[dict[str, Any]]:
        """The journal's entries of an earlier run, as far as the shards bear them out; then the shards are ready to go on."""
        kept = []
        for line in self.journal.read_text(encoding="utf-8").splitlines() if self.journal.is_file() else []:
            try:
                entry = json.loads(line)
            except ValueError:  # written when the run was killed
                break
            if "row" in entry and not self.shards[entry["split"]].restore(entry["row"]):
                break
            kept.append(line)
            yield entry
        for each in self.shards.values():
            each.reopen()
        self.journal.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        if kept:
            log.info("resuming after %d records (%s)", len(kept), self.folder)

    def note(self, entry: dict[str, Any]) -> None:
        """A record is done: writes that down, from time to time and after the shards."""
        self._lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
        if len(self._lines) >= SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Brings shards, then journal, to the disk."""
        for each in self.shards.values():
            each.sync()
        with self.journal.open("a", encoding="utf-8") as file:
            file.writelines(self._lines)
            file.flush()
            os.fsync(file.fileno())
        self._lines = []

    def close(self) -> None:
        """No more records."""
        self.sync()
        for each in self.shards.values():
            each.close()

    def finish(self) -> None:
        """Puts the folder in its place and removes all states of this output."""
        if self.out.exists():
            shutil.rmtree(self.out)
        self.folder.replace(self.out)
        shutil.rmtree(self.root)
