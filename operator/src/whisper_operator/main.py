"""`whisper-operator`: runs until it is told to stop."""

from __future__ import annotations

import sys

from whisper_operator import handlers
from whisper_operator.access import NoAccess, find_access
from whisper_operator.settings import OperatorSettings


def main() -> None:
    settings = OperatorSettings.load()
    settings.start_reporting("operator")
    try:
        access = find_access()
    except NoAccess as error:
        sys.exit(str(error))
    sys.exit(1 if handlers.run(access, settings) else 0)


if __name__ == "__main__":
    main()
