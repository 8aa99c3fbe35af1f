# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.fuzz NAME --count N --seed S`: feeds N mutated inputs to one decoder, and prints how many it bore.

Exits 1 at the first input that crashes it, hangs it, or gets an answer that does not hold; that input is printed
in hexadecimal, to be kept as a test.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

TARGETS = {name: f"tests.fuzz.{name}" for name in ("config", "domain_xml", "host", "netlink", "tables")}
"""Name to a module with `fuzz(count, seed) -> int`, which returns how many inputs it tried."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    fuzz = importlib.import_module(TARGETS[arguments.target]).fuzz
    start = time.monotonic()
    try:
        done = fuzz(arguments.count, arguments.seed)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    seconds = time.monotonic() - start
    print(f"{arguments.target}: {done} inputs, seed {arguments.seed}, {seconds:.0f} s, {done / seconds:.0f} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
