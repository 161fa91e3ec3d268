# SPDX-License-Identifier: Apache-2.0
"""`python -m nearmiss` is the command `nearmiss`."""

import sys

from nearmiss.cli import main

if __name__ == "__main__":
    sys.exit(main())
