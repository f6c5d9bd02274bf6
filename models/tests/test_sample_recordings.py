from __future__ import annotations

import csv
from pathlib import Path

import av
import pytest

FOLDER = Path(__file__).parents[1] / "samples"


def table() -> list[dict[str, str]]:
    with (FOLDER / "samples.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_table_lists_every_recording_once() -> None:
    files = sorted(path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix not in {".py", ".tsv"})
    assert sorted(row["file"] for row in table()) == files


def test_all_recordings_together_stay_small_enough_for_a_repository() -> None:
    assert sum((FOLDER / row["file"]).stat().st_size for row in table()) < 8_000_000


@pytest.mark.parametrize("row", table(), ids=lambda row: row["file"])
def test_a_recording_is_as_long_as_its_row_says_and_has_sound_when_it_has_text(row: dict[str, str]) -> None:
    with av.open(str(FOLDER / row["file"])) as container:
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(float(row["seconds"]), abs=0.05)
        assert bool(container.streams.audio) is bool(row["text"])


@pytest.mark.parametrize("row", table(), ids=lambda row: row["file"])
def test_a_row_says_how_its_recording_is_made_again(row: dict[str, str]) -> None:
    program = row["made_by"].split()[1]
    assert row["made_by"] == f"python {program} {row['file']}"
    assert (FOLDER.parents[1] / program).is_file()
