"""`memgan`: the user's face of the pipeline. Steps are modules of their own (`python -m memgan.<module>`); this is for people."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from memgan.steps import guarded, start_log

app = typer.Typer(
    name="memgan",
    help="Memory-driven text-to-image generation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _start() -> None:
    """Memory-driven text-to-image generation: what the pipeline has trained, at your fingertips."""
    start_log(None)


@app.command()
@guarded
def generate(
    captions: Annotated[list[str] | None, Argument(help="one or more captions, each in quotes", show_default=False)] = None,
    dataset: Annotated[str, Option(help="data set whose generator draws")] = "birdworld",
    file: Annotated[Path | None, Option("--captions", help="text file, one caption a line", show_default=False)] = None,
    count: Annotated[int, Option("-n", min=1, help="variations of each caption")] = 8,
    seed: Annotated[int, Option(min=0, help="of the noise: the same seed gives the same pictures")] = 0,
    run: Annotated[str, Option(help="which run's generator, a name under `runs` in params.yaml")] = "ours",
    trained: Annotated[int | None, Option(help="seed of the trained generator; the first of `seeds`", show_default=False)] = None,
    out: Annotated[Path, Option(help="folder for sheets and pictures")] = Path("generated"),
) -> None:
    """Draws pictures for captions: the neighbour found in the memory, the three stages, and variations of the noise."""
    from memgan.report.sheet import generate as draw

    for line in draw(read_captions(captions or [], file), dataset, run, trained, count, seed, out):
        typer.echo(line)


@app.command()
@guarded
def retrieve(
    captions: Annotated[list[str] | None, Argument(help="one or more captions, each in quotes", show_default=False)] = None,
    dataset: Annotated[str, Option(help="data set whose memory is searched")] = "birdworld",
    file: Annotated[Path | None, Option("--captions", help="text file, one caption a line", show_default=False)] = None,
    k: Annotated[int, Option("-k", help="neighbours of each caption")] = 5,
    strategy: Annotated[
        str | None, Option(help="how captions and images are compared; `memory.strategy` of params.yaml", show_default=False)
    ] = None,
    exclude: Annotated[
        list[str] | None, Option(help="id of an image that is not to be found; may be given several times", show_default=False)
    ] = None,
    out: Annotated[Path, Option(help="folder for contact sheets")] = Path("retrieved"),
    as_json: Annotated[bool, Option("--json", help="as one JSON array, with all captions of each neighbour")] = False,
) -> None:
    """Finds the training images nearest to captions: a line a neighbour with its score, and a contact sheet a caption."""
    from memgan.report.lookup import retrieve_captions

    found = retrieve_captions(read_captions(captions or [], file, "retrieve"), dataset, k, strategy, exclude or [], out, as_json)
    typer.echo(found)


@app.command()
@guarded
def describe(
    dataset: Annotated[str, Option(help="data set whose networks are described")] = "birdworld",
    run: Annotated[str, Option(help="a name under `runs` in params.yaml")] = "ours",
    as_json: Annotated[bool, Option("--json", help="as one JSON object")] = False,
) -> None:
    """Shows what each network is made of: shapes, parameters and multiply-adds of every part, nothing trained or downloaded."""
    import json

    from memgan.report import describe as networks

    described = networks.describe(dataset, run)
    typer.echo(json.dumps(described, indent=1) if as_json else networks.table(described))


@app.command()
@guarded
def plan(
    dataset: Annotated[str, Option(help="data set that is to be run, a name under `data` in params.yaml")],
    run: Annotated[str, Option(help="a name under `runs` in params.yaml")] = "ours",
    tflops: Annotated[
        float | None, Option(min=1e-6, help="speed that hours are for; measured on this machine if not given", show_default=False)
    ] = None,
    as_json: Annotated[bool, Option("--json", help="as one JSON object")] = False,
) -> None:
    """Says what a run needs before it starts: disk, memory, steps, multiply-adds and hours, for each step of the chain."""
    import json

    from memgan.report import plan as planning

    planned = planning.plan(dataset, run, tflops)
    typer.echo(json.dumps(planned, indent=1) if as_json else planning.table(planned))


@app.command()
@guarded
def download(
    dataset: Annotated[str, Option(help="data set whose files are fetched, a name under `data` in params.yaml")],
    check: Annotated[bool, Option("--check", help="only ask every address, and say what is here already")] = False,
    as_json: Annotated[bool, Option("--json", help="with --check: as JSON")] = False,
) -> None:
    """Fetches a data set's archives and the published weights that it needs; goes on where it was cut off.

    MEMGAN_MIRROR=<folder> takes files from a folder instead of the web.
    """
    import json

    from memgan.errors import InputError
    from memgan.report import links

    if not check:
        links.download(dataset)
        return
    found = links.check(dataset)
    typer.echo(json.dumps(links.as_json(found), indent=1) if as_json else links.table(found))
    if missing := links.cannot_be_had(found):
        raise InputError(
            f"{dataset}: no place gives {', '.join(missing)}; what to put where, `memgan download --dataset {dataset}` says"
        )


@app.command()
@guarded
def status(as_json: Annotated[bool, Option("--json", help="as a JSON list")] = False) -> None:
    """Lists the runs: how far each training is, its pace, the time left, its last losses, or its scores once it is done."""
    import json

    from memgan.params.load import PATH, read_yaml
    from memgan.report import status as trainings

    read_yaml(PATH)  # elsewhere than in the project's root nothing has been trained, whatever has
    found = trainings.status()
    typer.echo(json.dumps(found, indent=1) if as_json else trainings.table(found))


def read_captions(given: list[str], file: Path | None, command: str = "generate") -> list[str]:
    """Captions of the command line and of the file, in order. Raises InputError if there is none."""
    from memgan.errors import InputError

    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file else []
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{file}: cannot be read as UTF-8 text ({fault}); give a text file with one caption a line") from None
    captions = [text.strip() for text in [*given, *lines] if text.strip()]
    if not captions:
        raise InputError(f"{file or command}: no caption given; type one in quotes, or --captions FILE with one a line")
    return captions


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
