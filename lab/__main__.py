# SPDX-License-Identifier: Apache-2.0
"""`python -m lab`: build what the lab keeps, or take a seat on an emulated host."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from lab.cache import Cache
from lab.errors import LabError
from lab.image import missing_tools
from lab.shape import INTEL, SHAPES
from lab.shell import run_shell
from lab.signals import end_in_order
from lab.stages import build_stage
from lab.wheel import build_wheel


def main(argv: list[str] | None = None) -> int:
    """Run one verb. 0 is done, 1 is failed, 130 is interrupted; `shell` gives the session's code."""
    arguments = _parser().parse_args(argv)
    end_in_order()
    try:
        return _run(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    if arguments.verb != "clean" and (missing := missing_tools()):
        raise LabError(f"not on this machine: {', '.join(missing)}; install the packages in lab/packages.txt")
    cache = Cache()
    if arguments.verb == "build":
        return _build(cache, arguments.shapes)
    if arguments.verb == "clean":
        return _clean(cache)
    wheel = None if arguments.bare else arguments.wheel or build_wheel()
    return run_shell(cache, SHAPES[arguments.shape], wheel)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="build the image and boot each shape once")
    build.add_argument("shapes", nargs="*", default=[INTEL.name], metavar="SHAPE", help=f"of {', '.join(SHAPES)}")
    shell = verbs.add_parser("shell", help="a prompt on an emulated host")
    shell.add_argument("--shape", choices=SHAPES, default=INTEL.name)
    shell.add_argument("--wheel", type=Path, help="install nicpass from this wheel, not from the checkout")
    shell.add_argument("--bare", action="store_true", help="do not install nicpass")
    verbs.add_parser("clean", help="remove everything that the lab keeps")
    return parser


def _build(cache: Cache, names: list[str]) -> int:
    for name in names:
        if name not in SHAPES:
            raise LabError(f"there is no shape {name}; there are {', '.join(SHAPES)}")
        start = time.monotonic()
        build_stage(cache, SHAPES[name])
        print(f"lab: {name} is ready after {time.monotonic() - start:.0f} s, in {cache.root}")
    return 0


def _clean(cache: Cache) -> int:
    cache.sweep()
    if running := list(cache.runs.iterdir()):
        raise LabError(f"hosts or builds are running: {', '.join(folder.name for folder in running)}")
    shutil.rmtree(cache.root)
    print(f"lab: removed {cache.root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
