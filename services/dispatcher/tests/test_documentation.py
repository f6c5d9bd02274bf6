"""What the documents say is what the code does."""

import re
from pathlib import Path

import pytest

from whisper_contracts.failures import RETRYABLE, SENTENCES, FailureReason
from whisper_dispatcher.gateway.errors import FAILURE_STATUS

ROOT = Path(__file__).resolve().parents[3]
API = (ROOT / "docs/api.md").read_text()
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("reason", FailureReason)
def test_each_failure_reason_is_documented_with_its_status_and_whether_it_retries(reason: FailureReason) -> None:
    row = f"| `{reason}` | {FAILURE_STATUS[reason]} | {'yes' if reason in RETRYABLE else 'no'} |"
    assert row in API


@pytest.mark.parametrize("reason", FailureReason)
def test_each_failure_reason_has_a_sentence(reason: FailureReason) -> None:
    assert SENTENCES[reason].endswith(".")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_make_target_the_documents_name_is_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for document in DOCUMENTS for name in re.findall(r"(?:`|^)make ([a-z0-9-]+)", document.read_text(), re.M)
    }
    assert named - targets == set()
