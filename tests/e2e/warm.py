"""A Python that has the libraries at hand: steps start as forks of it, since importing torch takes longer than most of them work.

python -m tests.e2e.warm SOCKET     serves until it is told to end
python tests/e2e/warm.py SOCKET -m memgan.data.render ...     runs a step there, as `python -m memgan.data.render ...` would

Nothing of the project is loaded before the fork. A step has the caller's folder, environment and streams, ends with the caller,
and the caller with its exit code.
"""

import array
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress

LIBRARIES = ("faiss", "torch", "torchvision", "torch_fidelity", "pandas", "matplotlib.figure", "pydantic", "typer", "webdataset")
STREAMS = (0, 1, 2)


def serve(address: str) -> None:
    """Forks a keeper for each call."""
    import gc
    import importlib

    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # a fork that collects its garbage would copy all pages otherwise
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are not waited for
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        while True:
            call, _ = door.accept()
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                door.close()
                keep(call)
                return
            call.close()


def keep(call: socket.socket) -> None:
    """Forks the step that the call asks for; tells the caller its exit code, or ends it when the caller is gone."""
    streams = array.array("i")
    size, sent, _, _ = call.recvmsg(4, socket.CMSG_LEN(len(STREAMS) * streams.itemsize))
    streams.frombytes(sent[0][2])
    asked = json.loads(call.makefile("rb").read(int.from_bytes(size)))
    step = os.fork()
    if not step:
        call.close()
        become(asked, list(streams))
        return
    while not (ended := os.waitpid(step, os.WNOHANG))[0]:
        if select.select([call], [], [], 0.01)[0]:
            os.kill(step, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(ended[1])
    with suppress(OSError):
        call.send(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)


def become(asked: dict, streams: list[int]) -> None:
    """The step, in the caller's place."""
    import runpy

    for here, there in zip(STREAMS, streams, strict=True):
        os.dup2(there, here)
        os.close(there)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["env"])
    flag, module, *sys.argv[1:] = asked["arguments"]
    assert flag == "-m", f"only modules are run here: {asked['arguments']}"
    sys.path[:] = [asked["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def call(address: str, arguments: list[str]) -> int:
    """Has a step run, and its exit code."""
    folder = os.getcwd()  # noqa: PTH109 (to import pathlib would double the caller's time)
    asked = json.dumps({"arguments": arguments, "folder": folder, "env": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        streams = array.array("i", STREAMS)
        line.sendmsg([len(asked).to_bytes(4)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        line.sendall(asked)
        return line.recv(1)[0]


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
