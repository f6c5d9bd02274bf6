"""python -m models.demo make|evaluate: the model from nothing, and its table of error rates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.demo import evaluation
from models.demo.espeak import EspeakMissing
from models.demo.evaluation import SENTENCES
from models.demo.schedule import STEPS
from models.demo.tokens import ENGLISH_FILE, MULTILINGUAL_FILE
from whisper_dispatcher.local.errors import ToolMissing

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The demo model: make it, measure it.")

_Folder = Annotated[Path | None, typer.Option(help="Of what is made on the way; in the user's cache when left out.")]


@app.command()
def make(
    work: _Folder = None,
    steps: Annotated[int, typer.Option(help="Of training.")] = STEPS,
    share: Annotated[float, typer.Option(help="Of the pool of speech; less for trying things out.")] = 1.0,
    into: Annotated[Path, typer.Option(help="Where the two files go.")] = Path(__file__).parent,
) -> None:
    """Speak, train and write the files; goes on where it stopped."""
    # Imported here, so that a measurement needs no JAX.
    from models.demo.making import MakingFailed, make_model, work_folder

    console = Console()
    try:
        make_model(work or work_folder(), into, steps, share, console)
    except MakingFailed as error:
        console.print(str(error))
        raise typer.Exit(1) from None


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Option(help="Of the two files.")] = Path(__file__).parent,
    sentences: Annotated[int, typer.Option(help="Of each kind.")] = SENTENCES,
    minutes: Annotated[str, typer.Option(help="Of the long files.")] = "1,2,10",
) -> None:
    """Measure the files through whisper-server and the pipeline; exit 1 when a goal is missed."""
    console = Console()
    lengths = [float(length) for length in minutes.split(",") if length]
    try:
        rows = evaluation.evaluate(folder / ENGLISH_FILE, folder / MULTILINGUAL_FILE, sentences, lengths, console)
    except (ToolMissing, EspeakMissing) as error:
        console.print(str(error))
        raise typer.Exit(1) from None
    console.print(evaluation.table(rows))
    raise typer.Exit(0 if all(row.is_met for row in rows) else 1)


if __name__ == "__main__":
    app()
