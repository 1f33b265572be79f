"""Say what is installed, which device is used, which weights are there, and whether it works."""

import argparse

from ..errors import ExitCode


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def run(options: argparse.Namespace) -> int:
    """Print one line for each thing that was looked at, and a verdict."""
    from ..doctor import examine

    findings = examine()
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = "ok     " if finding.good else "MISSING"
        print(f"{mark} {finding.what:<{width}} {finding.state}")
    bad = [finding.what for finding in findings if not finding.good]
    print(f"Not ready: {', '.join(bad)}. Run 'make setup'." if bad else "Ready.")
    return ExitCode.BAD_INPUT if bad else ExitCode.DONE
