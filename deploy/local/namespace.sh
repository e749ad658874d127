#!/bin/sh
# Run by src/reachable.ts under `unshare --mount`, as root: shows the clone, and the state directory,
# at a place that the services' uids can enter, to this process and its children alone.
#
#   namespace.sh MOUNT CLONE STATE COMMAND...
set -eu
mount_point=$1
clone=$2
state=$3
shift 3

mkdir -p "$mount_point"
# A file system of its own, because the clone's top directory may be the very one that is closed (a
# `mktemp -d` has mode 0700): its entries are shown below a top directory that is open.
mount -t tmpfs -o mode=0755,size=1m,nosuid,nodev claviger "$mount_point"
mkdir "$mount_point/clone"
for entry in "$clone"/* "$clone"/.claviger "$clone"/.tools; do
  name=${entry##*/}
  if [ -d "$entry" ]; then
    mkdir "$mount_point/clone/$name"
  elif [ -f "$entry" ]; then
    : >"$mount_point/clone/$name"
  else
    continue
  fi
  mount --bind "$entry" "$mount_point/clone/$name"
done
mkdir "$mount_point/state"
mount --bind "$state" "$mount_point/state"
cd "$mount_point/clone"
exec "$@"
