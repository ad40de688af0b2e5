"""``python -m fdi_keras``: the command line ``fdi``, for where no script was installed."""

import sys

from fdi_keras.cli import main

if __name__ == "__main__":
    sys.exit(main())
