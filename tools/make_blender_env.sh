#!/usr/bin/env bash
# Makes .venv-blender-VERSION, Blender as a Python module: tools/make_blender_env.sh VERSION PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=$1 PYTHON=$2
VENV=.venv-blender-$VERSION
LIBRARIES=(libx11-6 libxext6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6
  libgl1 libegl1 libegl-mesa0 libgl1-mesa-dri)

"$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
  -r "requirements/blender-$VERSION.lock"
if ! "$VENV/bin/python" -c "import bpy" 2>/dev/null; then
  if [ -n "${CI:-}" ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${LIBRARIES[@]}" >/dev/null
  fi
  "$VENV/bin/python" -c "import bpy" || {
    echo "Blender $VERSION cannot be loaded: install ${LIBRARIES[*]}, then run this again." >&2
    exit 1
  }
fi
touch "$VENV/.complete"
