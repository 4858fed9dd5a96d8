"""`python -m pzem` is `pzem`."""

import sys

from pzem.cli import main

sys.exit(main())
