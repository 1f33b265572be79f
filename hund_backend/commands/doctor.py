"""Print what is installed, the device, the weights, and whether all of it works."""

import argparse

from ..errors import ExitCode
from .output import write_event


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON line")


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each finding, and a verdict."""
    from ..doctor import advice, examine

    findings = examine()
    bad = [finding.name for finding in findings if not finding.ok]
    if arguments.json:
        write_event(event="doctor", findings=[vars(finding) for finding in findings])
        return ExitCode.BAD_INPUT if bad else ExitCode.DONE
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = "ok     " if finding.ok else "MISSING"
        print(f"{mark} {finding.name:<{width}} {finding.state}")
    print(f"Not ready: {', '.join(bad)}. {advice()}" if bad else "Ready.")
    return ExitCode.BAD_INPUT if bad else ExitCode.DONE
