"""``python -m kolo`` is the command ``kolo``."""

from __future__ import annotations

import sys

from kolo.cli import main

if __name__ == "__main__":
    sys.exit(main())
