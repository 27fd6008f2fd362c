"""What `dvc commit --force --no-relink` does, for many stages at once: that command writes the whole of dvc.lock for each of them.

python workflow/record/commit.py ADDRESS...
"""

import sys
from itertools import groupby
from typing import Any

from dvc.repo import Repo, locked


@locked
def commit(repo: Any, addresses: list[str]) -> None:
    """Enters stages into their dvc.lock as they lie on the disk, and their outputs into the cache."""
    found = [info for address in addresses for info in repo.stage.collect_granular(address)]
    for dvcfile, group in groupby(found, key=lambda info: info.stage.dvcfile):
        done = []
        for info in group:
            info.stage.save()
            info.stage.commit(relink=False)
            done.append(info.stage)
        dvcfile.dump_stages(done, update_pipeline=False)


if __name__ == "__main__":
    with Repo(_wait_for_lock=True) as here:
        commit(here, sys.argv[1:])
