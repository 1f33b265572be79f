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
      logs=$(mktemp -d)
      trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$logs"' EXIT
      jobs=()
      for python in .venv-blender-*/bin/python; do # at once: each mostly uses one core
        version=${python%/bin/python}
        "$python" -m pytest tests/blender >"$logs/$version" 2>&1 &
        jobs+=("$! $version")
      done
      code=0 failed=
      for job in "${jobs[@]}"; do
        result=0
        wait "${job% *}" || result=$?
        echo "tests/blender in ${job#* }"
        if [ "$result" = 0 ]; then cat "$logs/${job#* }"; else code=$result failed+=" ${job#* }"; fi
      done
      for version in $failed; do # last, so that the last line is that of a run that failed
        echo "tests/blender failed in $version"
        cat "$logs/$version"
      done
      [ "$code" = 0 ] || exit "$code"
      ;;
    *) .venv/bin/python -m pytest "tests/$suite" ;;
  esac
done
