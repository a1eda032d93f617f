"""``python -m mlubench`` is ``mlubench``."""

import sys

from mlubench.cli import main

sys.exit(main())
