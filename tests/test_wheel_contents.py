from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIND = """
from whisper_dispatcher.gateway.page_routes import FOLDER, files
from whisper_models.bundled import demo_model_path, sample_path
print(demo_model_path(), sample_path("hello.wav"), *(FOLDER / name for name in files()), sep="\\n")
"""


def test_an_installed_wheel_finds_the_demo_model_the_samples_and_the_web_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    found = subprocess.run(
        [sys.executable, "-c", FIND],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "index.html" in found.stdout
    for path in found.stdout.splitlines():
        assert Path(path).is_relative_to(tmp_path / "installed")
