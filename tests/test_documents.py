"""What the documents tell people to type, look at or follow is there, and what they say of the code is so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from docs import settings

from whisper_contracts.failures import RETRYABLE, FailureReason
from whisper_dispatcher.cli.laptop import up
from whisper_dispatcher.gateway.errors import FAILURE_STATUS

CHECKOUT = Path(__file__).parents[1]
FOLDERS = ("charts", "deploy", "docs", "images", "manifests", "models")
DOCUMENTS = sorted(
    [*CHECKOUT.glob("*.md"), *(path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*.md"))]
)
API = (CHECKOUT / "docs/api.md").read_text()
TITLE = {document: str(document.relative_to(CHECKOUT)) for document in DOCUMENTS}


def shell_blocks(document: Path) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL)


def test_the_readmes_addresses_are_where_up_answers() -> None:
    ports = set(re.findall(r"http://127\.0\.0\.1:(\d+)", (CHECKOUT / "README.md").read_text()))
    assert ports == {str(inspect.signature(up).parameters["port"].default)}


def test_the_readme_starts_on_kubernetes_with_the_lines_of_the_install_guide() -> None:
    (lines,) = [block for block in shell_blocks(CHECKOUT / "README.md") if "helm install" in block]
    assert len(lines.splitlines()) == 5
    assert lines == shell_blocks(CHECKOUT / "docs" / "install.md")[0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=TITLE.get)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if ":" not in link and not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=TITLE.get)
def test_every_make_command_of_a_document_exists(document: Path) -> None:
    told = re.findall(r"(?:^|`)(?:\w+=\S+ )*make ([a-z][a-z0-9-]+)", document.read_text(), re.MULTILINE)
    known = re.findall(r"^([a-z][a-z0-9-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert set(told) <= set(known)


@pytest.mark.parametrize("document", DOCUMENTS, ids=TITLE.get)
def test_no_document_installs_whatever_an_index_has_under_our_name(document: Path) -> None:
    assert not re.findall(r"pip install [\"']?whisperfleet\S*", document.read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=TITLE.get)
def test_the_pipeline_is_started_by_make_which_first_sets_up_what_is_missing(document: Path) -> None:
    assert ".venv/bin/whisperfleet up" not in document.read_text()


def test_the_page_of_settings_is_the_codes() -> None:
    assert settings.PAGE.read_text() == settings.page(), "Run: make generate"


def test_every_code_of_an_error_is_in_the_apis_documentation() -> None:
    gateway = CHECKOUT / "services/dispatcher/src/whisper_dispatcher/gateway"
    codes = {code for module in gateway.glob("*.py") for code in re.findall(r'code="(\w+)"', module.read_text())}
    assert codes and codes <= set(re.findall(r"`(\w+)`", API))


@pytest.mark.parametrize("reason", FailureReason)
def test_each_failure_reason_is_documented_with_its_status_and_whether_it_retries(reason: FailureReason) -> None:
    assert f"| `{reason}` | {FAILURE_STATUS[reason]} | {'yes' if reason in RETRYABLE else 'no'} |" in API
