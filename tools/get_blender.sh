#!/usr/bin/env bash
# A genuine Blender 4.3.2 with a window: Debian trixie's, in a root of its own outside the checkout.
#   tools/get_blender.sh [ROOT]     default: $HUND_CACHE/blender-root; prints where it is
# Needs to be root, 1.2 GB of disk and Debian's packages; a finished root carries a stamp and is kept.
set -euo pipefail

CACHE=${HUND_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hund}
ROOT=${1:-$CACHE/blender-root}
STAMP=$ROOT/.hund-complete
INCLUDE=ca-certificates,blender,python3-numpy,python3-requests,xvfb,xauth,imagemagick,xdotool
INCLUDE+=,libgl1,libegl1,libegl-mesa0,libglx-mesa0,libgl1-mesa-dri

if [ -e "$STAMP" ]; then
  echo "$ROOT"
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "A Blender root can only be made by root: run this with sudo, or leave the window tests out." >&2
  exit 1
fi
if ! command -v mmdebstrap >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null
fi

# Made aside, then renamed: a root that was interrupted is never taken for a whole one.
ASIDE=$ROOT.part-$$
trap 'rm -rf --one-file-system "$ASIDE"' EXIT
mkdir -p "$(dirname "$ROOT")"
mmdebstrap --quiet --mode=root --variant=apt --format=directory \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
  --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --include="$INCLUDE" trixie "$ASIDE" >&2
chroot "$ASIDE" blender --background --version >&2
touch "$ASIDE/.hund-complete"
rm -rf --one-file-system "$ROOT"
mv "$ASIDE" "$ROOT"
trap - EXIT
echo "$ROOT"
