"""The step `render`: writes an embedded world's archives, in the raw layout of CUB or COCO."""

from pathlib import Path
from typing import Annotated

import typer

from memgan import artifacts, steps
from memgan.data.worlds.known import WORLDS
from memgan.errors import InputError
from memgan.params.load import Settings


def main(
    dataset: Annotated[str, typer.Option(help="data set of params.yaml whose source is a world")],
    archives: Annotated[Path, typer.Option(help="folder to write the archives into")],
    sources: Annotated[Path, typer.Option(help="JSON file that names the archives by role")],
) -> None:
    """Renders the world of a data set."""
    settings = Settings(dataset)
    source, seed = settings.source(), settings.value("seed")
    if source.world is None:
        raise InputError(f"params.yaml: data.{dataset}.source names archives, not a world; it is fetched by memgan.data.download")
    world = WORLDS[source.world.name]
    if source.layout != world.LAYOUT:
        raise InputError(
            f"params.yaml: data.{dataset}.source.layout is `{source.layout}`; {source.world.name} needs `{world.LAYOUT}`"
        )
    with artifacts.atomic_folder(archives) as folder:
        names = {role: path.name for role, path in world.write(folder, source.world, seed).items()}
    paths = {role: archives / name for role, name in names.items()}
    files = {role: {"path": str(p), "sha256": artifacts.sha256(p), "bytes": p.stat().st_size} for role, p in paths.items()}
    params = {"source": source.model_dump(mode="json")}
    manifest = artifacts.manifest("memgan.data.render", params, {}, seed)
    artifacts.write_json(sources, {"layout": source.layout, "files": files, "manifest": manifest})


if __name__ == "__main__":
    steps.run(main)
