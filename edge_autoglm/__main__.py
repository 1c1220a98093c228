"""`python -m edge_autoglm` is `edge-autoglm`."""

import sys

from .entry import main

sys.exit(main())
