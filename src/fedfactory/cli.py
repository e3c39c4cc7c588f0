"""The command line without the installed command: ``python -m fedfactory.cli``."""

import sys

from fedfactory.orchestration.cli import main

if __name__ == "__main__":
    sys.exit(main())
