"""Print what is installed, the device, the weights, and whether all of it works."""

import argparse

from ..errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each finding, and a verdict."""
    from ..doctor import advice, examine

    findings = examine()
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = "ok     " if finding.ok else "MISSING"
        print(f"{mark} {finding.name:<{width}} {finding.state}")
    bad = [finding.name for finding in findings if not finding.ok]
    print(f"Not ready: {', '.join(bad)}. {advice()}" if bad else "Ready.")
    return ExitCode.BAD_INPUT if bad else ExitCode.DONE
