#!/usr/bin/env bash
# Runs suites of tests one after the other: tools/test.sh [blender] [ui] [backend]
# Stops at the first that fails, so that the last line is always pytest's and the exit code, too.
# Tests run in a random order, whose seed pytest prints first. To repeat an order:
#   PYTEST_ADDOPTS=--randomly-seed=SEED tools/test.sh backend
set -euo pipefail
cd "$(dirname "$0")/.."
for suite in "$@"; do
  case $suite in
    blender)
      for python in .venv-blender-*/bin/python; do
        echo "tests/blender in ${python%/bin/python}"
        "$python" -m pytest tests/blender
      done
      ;;
    *) .venv/bin/python -m pytest "tests/$suite" ;;
  esac
done
