"""`python -m pzem.cli` is `pzem`."""

import sys

from pzem.cli import main

sys.exit(main())
