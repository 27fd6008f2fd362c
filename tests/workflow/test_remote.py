"""A fresh clone and `dvc pull`: both engines have nothing to do."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.workflow.clones import Clone


def cloned(clone: Clone, fresh: Clone) -> None:
    """Makes `fresh` a `git clone` of it, with the results pulled."""
    clone.commit()
    clone.run("dvc push -q")
    clone.run(f"git clone -q . {fresh.path}")
    fresh.run("dvc pull -q")


def nothing_to_do(fresh: Clone) -> None:
    """By the plain commands."""
    assert fresh.status() == {}
    assert fresh.planned() == []
    assert fresh.snakemake() == []
    assert fresh.repro() == []


@pytest.mark.xdist_group("stand-ins")
def test_from_a_folder(mocked: Clone, tmp_path: Path):
    mocked.run(f"dvc remote add -d store {tmp_path / 'store'}")
    fresh = Clone(tmp_path / "fresh")
    cloned(mocked, fresh)
    nothing_to_do(fresh)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3-compatible server on loopback, with a bucket named store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], **quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not reachable(port):
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.1)
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket="store")
        yield address
    finally:
        server.kill()
        server.wait()


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.xdist_group("stand-ins")
def test_from_an_s3_server(mocked: Clone, s3: str, tmp_path: Path):
    mocked.run(f"dvc remote add -d store s3://store/cache && dvc remote modify store endpointurl {s3}")
    fresh = Clone(tmp_path / "fresh")
    for clone in (mocked, fresh):
        clone.env |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    cloned(mocked, fresh)
    nothing_to_do(fresh)
