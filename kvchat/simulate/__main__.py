"""`python -m kvchat.simulate` is `kvchat simulate`."""

import sys

from kvchat.simulate.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
