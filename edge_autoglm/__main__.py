"""`python -m edge_autoglm` is `edge-autoglm`."""

import sys

from .cli import main

sys.exit(main())
