#!/usr/bin/env bash
# A genuine Blender in a window of its own: blender_window.sh ROOT SCRIPT FOLDER…
# Runs SCRIPT in it; ROOT is what tools/get_blender.sh made, the FOLDERs are seen under their own names.
set -euo pipefail
ROOT=$1 SCRIPT=$2
shift 2
if [ "${HUND_UNSHARED:-}" != 1 ]; then # what is mounted is seen by us alone and goes with us
  HUND_UNSHARED=1 exec unshare --mount --pid --fork --kill-child "$0" "$ROOT" "$SCRIPT" "$@"
fi
for folder in "$@"; do
  mkdir -p "$ROOT$folder"
  mount --rbind "$folder" "$ROOT$folder"
done
mount -t proc proc "$ROOT/proc"
export LIBGL_ALWAYS_SOFTWARE=1 HOME=$BLENDER_USER_RESOURCES
# No exec: xvfb-run waits for a signal that the first process of a namespace never gets.
chroot "$ROOT" xvfb-run --auto-servernum --server-args="-screen 0 1280x800x24 +extension GLX" \
  blender --window-geometry 0 0 1280 800 --python-exit-code 1 --python "$SCRIPT"
