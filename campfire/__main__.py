"""``python -m campfire`` is the command line."""

import sys

from campfire.cli import main

sys.exit(main())
