"""Files from the web: mirrors in order, cut downloads resumed, nothing used before its checksum is right.

A folder named by MEMGAN_MIRROR takes the place of all addresses, for machines without internet. What has been received of a file
lies beside it as `.<name>.part` and is gone on with, from any mirror, also by the next process. An empty file `.memgan.lock` stays
in a folder into which something was fetched: who holds its lock fetches, the others wait.
"""

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlparse

import pooch
import requests
from tqdm import tqdm

from memgan import steps
from memgan.artifacts import disk_is_full
from memgan.errors import InputError

DOWNLOADS = Path("data/downloads")
MIRROR = "MEMGAN_MIRROR"
LOCK = ".memgan.lock"  # never removed: who waits for it would hold the lock of a file that the next one does not see
ATTEMPTS = 5  # on one address, while what is wrong may pass
TIMEOUT = (10, 30)  # seconds to connect, seconds without a byte
LONGEST = 60  # seconds between two attempts; the first waits 1, then twice as long each time
SAID_EVERY = 30  # seconds between two lines of a log
CHUNK = 2**20
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers after which the same address is asked again
DIGITS = {"sha256": 64, "md5": 32}


class UnusableAddressError(Exception):
    """An address that will not give the file however often it is asked."""


def name_of(urls: Sequence[str]) -> str:
    """The file's name: the end of its first address."""
    return unquote(Path(urlparse(urls[0]).path).name)


def fetch(urls: Sequence[str], checksum: str, folder: Path = DOWNLOADS) -> Path:
    """The file, from MEMGAN_MIRROR if that is set, else in `folder`, where the first address that gives it has put it.

    `checksum` is `md5:...`, `sha256:...` or the head of the latter. Raises InputError naming the file, its checksum and where a
    person can put it.
    """
    name = name_of(urls)
    if os.environ.get(MIRROR):
        return mirrored(name, checksum)
    path = folder / name
    if path.is_file() and matches(path, checksum):  # no lock is needed, which a folder that is only read could not have
        return path
    pooch.get_logger().setLevel(logging.WARNING)
    reasons = []
    with alone(folder):
        if path.is_file() and matches(path, checksum):  # another process has fetched it meanwhile
            return path
        for url in urls:
            try:
                return _from(url, path, checksum)
            except (ValueError, UnusableAddressError, requests.RequestException, OSError) as fault:
                _refuse_full_disk(fault, path)
                reasons.append(f"{url}: {said(fault)}")
                steps.log.info("%s: no use: %s", name, reasons[-1])
    more = "" if len(reasons) == 1 else f", the last of {len(reasons)} addresses"
    raise InputError(f"{name}: no address gave it ({reasons[-1]}{more}); put the file with {checksum} into {folder}")


def mirrored(name: str, checksum: str) -> Path:
    """The file in the folder that MEMGAN_MIRROR names, checked."""
    folder = Path(os.environ[MIRROR])
    path = folder / name
    if not path.is_file():
        raise InputError(f"{name}: not in {folder} ({MIRROR}); put the file with {checksum} there, or unset {MIRROR}")
    if not matches(path, checksum):
        raise InputError(f"{path}: its checksum is not {checksum}; put the right file there")
    return path


def matches(path: Path, checksum: str) -> bool:
    """Whether a file has the checksum, or a sha256 that begins with it."""
    algorithm, _, digits = checksum.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest().startswith(digits)


def _from(url: str, path: Path, checksum: str) -> Path:
    """The file from one address; pooch puts it in place once its checksum is right. Once more if what was resumed is wrong."""
    algorithm, _, digits = checksum.partition(":")
    whole = len(digits) == DIGITS[algorithm]  # pooch knows no heads of a sha256: these are checked before the file is in place
    target = path if whole else path.with_name(f".{path.name}.new")
    transfer = Transfer(path.with_name(f".{path.name}.part"))
    registry, urls = {target.name: checksum if whole else None}, {target.name: url}
    store = pooch.create(path.parent, base_url="", registry=registry, urls=urls, retry_if_failed=0)
    for _ in range(2):
        try:
            store.fetch(target.name, downloader=transfer)
            if whole or matches(target, checksum):
                return target.replace(path)
        except ValueError as fault:
            if isinstance(fault, requests.RequestException):  # an address that is none
                raise
        if not whole:
            target.unlink(missing_ok=True)
        if not transfer.resumed:
            break
    raise UnusableAddressError(f"what it gives has another checksum than {checksum}{transfer.hint}")


class Transfer:
    """A downloader for pooch that goes on where an earlier attempt was cut off, and is patient with what may pass."""

    def __init__(self, part: Path):
        self.part, self.resumed, self.hint = part, False, ""

    def __call__(self, url: str, output_file: str, _: object) -> None:
        """Fetches `url` into `output_file`."""
        for attempt in range(ATTEMPTS):
            try:
                self.resumed = self._once(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, _PassingError) as fault:
                if attempt == ATTEMPTS - 1:
                    raise
                wait = min(LONGEST, getattr(fault, "after", None) or 2**attempt)
                steps.log.info("%s: %s; once more in %d s", url, said(fault), wait)
                time.sleep(wait)
        shutil.move(self.part, output_file)

    def _once(self, url: str) -> bool:
        """Fetches what is missing of the part; returns whether something was there before."""
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable and have:
                return self._at_its_end(answer, have)
            _refuse(answer)
            if answer.status_code != requests.codes.partial_content:
                have = 0
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                self.part.unlink()
                raise _PassingError("it goes on at another place than asked")
            self.hint = " (a web page)" if is_page(answer) else ""
            self._receive(answer, have, url)
        return have > 0

    def _at_its_end(self, answer: requests.Response, have: int) -> bool:
        """The part is as long as the file: done; or longer: thrown away."""
        if answer.headers.get("Content-Range") == f"bytes */{have}":
            return True
        self.part.unlink()
        raise _PassingError("what was there before is longer than the file")

    def _receive(self, answer: requests.Response, have: int, url: str) -> None:
        rest = answer.headers.get("Content-Length", "")
        total = have + int(rest) if rest.isdigit() else None
        if total is not None and (free := shutil.disk_usage(self.part.parent).free) < total - have:
            raise OSError(errno.ENOSPC, f"{size(total - have)} are needed, {size(free)} are free")
        answer.raw.enforce_content_length = False  # or the last piece before a cut would be lost; the length is checked below
        name = name_of([url])
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name, disable=not sys.stderr.isatty(), leave=False)
        began = spoken = time.monotonic()
        got = have
        with bar, self.part.open("ab" if have else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
                got += len(chunk)
                if time.monotonic() - spoken > SAID_EVERY and bar.disable:
                    spoken = time.monotonic()
                    speed = size((got - have) / (spoken - began))
                    steps.log.info("%s: %s of %s, %s/s", name, size(got), size(total), speed)
        if total is not None and got != total:
            raise requests.ConnectionError(f"cut off after {got} of {total} bytes")


class _PassingError(Exception):
    """An answer that may be another one soon; `after`: seconds that the server wants to be left alone."""

    def __init__(self, text: str, after: float | None = None):
        super().__init__(text)
        self.after = after


def _refuse(answer: requests.Response) -> None:
    """Raises what kind of fault an answer is."""
    if answer.ok:
        return
    text = f"{answer.status_code} {answer.reason}"
    if answer.status_code in PASSING:
        after = answer.headers.get("Retry-After", "")
        raise _PassingError(text, int(after) if after.isdigit() else None)
    raise UnusableAddressError(text)


def _refuse_full_disk(fault: Exception, path: Path) -> None:
    if disk_is_full(fault, path):
        why = getattr(fault, "strerror", None) or fault
        raise InputError(f"{path}: the disk is full ({why}); make room and run again, the download goes on") from None


def said(fault: Exception) -> str:
    """A fault in few words: what libraries wrap into each other is unwrapped."""
    text = str(fault)
    if isinstance(fault, requests.ConnectTimeout):
        return f"no answer within {TIMEOUT[0]} s"
    if isinstance(fault, requests.Timeout) or "Read timed out" in text:
        return f"no byte within {TIMEOUT[1]} s"
    if found := re.search(r"\[Errno -?\d+\] ([^'\")]+)|(NameResolutionError|IncompleteRead|RemoteDisconnected)", text):
        return {
            "NameResolutionError": "its name is not known (no internet?)",
            "IncompleteRead": "cut off",
            "RemoteDisconnected": "hung up without an answer",
        }.get(found[2] or "", found[1] or "")
    return text


def size(count: float | None) -> str:
    """Bytes for people: 1.15 GB."""
    if count is None:
        return "an unknown size"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits until no other process fetches into the folder. The system frees the lock however the process ends.

    Makes the folder. Raises InputError if nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")  # for writing: a lock of a folder, or of a file to read, NFS keeps to its own node
    except OSError as fault:
        raise InputError(f"{folder}: nothing can be written there ({fault.strerror}); make it a folder that is yours") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            steps.log.info("waiting: another process fetches into %s", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_page(answer: requests.Response) -> bool:
    """Whether an answer is a web page."""
    return "text/html" in answer.headers.get("Content-Type", "").lower()


def ask(url: str) -> tuple[str, int | None]:
    """What an address would give, without fetching it: ("there" or what is wrong, size in bytes where it is told).

    A web page is wrong unless the address names one: a link that is gone is often answered with the site's first page.
    """
    try:
        answer = requests.head(url, timeout=TIMEOUT, allow_redirects=True, headers={"Accept-Encoding": "identity"})
        if answer.status_code in (403, 405, 501):  # servers that know no HEAD
            answer = requests.get(url, timeout=TIMEOUT, stream=True, headers={"Accept-Encoding": "identity", "Range": "bytes=0-0"})
            answer.close()
        if not answer.ok:
            return f"{answer.status_code} {answer.reason}", None
        if is_page(answer) and not name_of([url]).lower().endswith((".html", ".htm")):
            return "a web page instead of the file", None
    except requests.RequestException as fault:
        return said(fault), None
    length = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    return "there", int(length) if length.isdigit() else None
