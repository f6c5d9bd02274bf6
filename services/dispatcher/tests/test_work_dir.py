from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from whisper_dispatcher.planner.work_dir import WorkDir, expected_bytes


@pytest.fixture
def work_dir(tmp_path: Path) -> WorkDir:
    """Of which long recordings may take 750 bytes."""
    return WorkDir(tmp_path, 1_000)


def test_a_long_recording_waits_while_others_leave_too_little(work_dir: WorkDir) -> None:
    with work_dir.folder(400):
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), work_dir.folder(400):
            pass
        with work_dir.folder(350):
            pass
    with work_dir.folder(400):
        pass


def test_one_alone_may_take_more_than_there_should_be(work_dir: WorkDir) -> None:
    with work_dir.folder(5_000) as folder:
        assert folder.is_dir()


def test_a_note_waits_for_no_long_recording(work_dir: WorkDir) -> None:
    with work_dir.folder(5_000), work_dir.folder() as folder:
        assert folder.is_dir()


def test_once_decoded_a_recording_counts_as_what_it_is(work_dir: WorkDir) -> None:
    with work_dir.folder(700) as folder:
        (folder / "decoded.pcm").write_bytes(bytes(100))
        work_dir.measure(folder)
        with work_dir.folder(650):
            pass


def test_no_limit_is_the_disks_own(tmp_path: Path) -> None:
    work_dir = WorkDir(tmp_path)
    with work_dir.folder(10**12), work_dir.folder(10**12):
        pass


@pytest.mark.parametrize(("upload_bytes", "expected"), [(1_000, 21_000), (1_000_000, 1_000_000 + 60 * 32_000)])
def test_no_upload_is_expected_to_be_longer_than_the_longest(upload_bytes: int, expected: int) -> None:
    assert expected_bytes(upload_bytes, max_audio_s=60) == expected
