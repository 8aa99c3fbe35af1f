# SPDX-License-Identifier: Apache-2.0
"""`python -m nicpass`: the same as the command, for who knows the interpreter rather than the path."""

from nicpass.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
