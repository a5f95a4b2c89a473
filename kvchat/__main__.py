"""`python -m kvchat` is the command `kvchat`."""

import sys

from kvchat.cli import main

sys.exit(main())
