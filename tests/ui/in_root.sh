#!/usr/bin/env bash
# Runs a command in the root file system of tools/get_blender.sh: in_root.sh ROOT FOLDER… -- COMMAND…
# The FOLDERs are mounted there under their own paths.
set -euo pipefail
if [ "${HUND_UNSHARED:-}" != 1 ]; then # the mounts end with this process
  HUND_UNSHARED=1 exec unshare --mount --pid --fork --kill-child "$0" "$@"
fi
ROOT=$1
shift
while [ "$1" != -- ]; do
  mkdir -p "$ROOT$1"
  mount --rbind "$1" "$ROOT$1"
  shift
done
shift
mount -t proc proc "$ROOT/proc"
# No exec: xvfb-run waits for a signal that the first process of a namespace does not get.
LIBGL_ALWAYS_SOFTWARE=1 HOME=$BLENDER_USER_RESOURCES chroot "$ROOT" "$@"
