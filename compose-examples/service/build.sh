#!/usr/bin/env bash
# Builds the example service as one static binary and lays out the image's files under build/rootfs.
# With --image it also builds the image docker-orch-example:latest. Quick when nothing has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

target=$(rustc -vV | sed -n 's/^host: //p')
case $target in
  *-linux-*) ;;
  *) target=${target%%-*}-unknown-linux-gnu ;; # images hold Linux programs wherever they are built
esac

# Tests that run at the same time build it once.
mkdir -p build
exec 9>build/.lock
if command -v flock >/dev/null; then flock 9; fi

root=build/rootfs
binary=$root/bin/service
if [[ ! -x $binary || -n $(find src Dockerfile build.sh -newer "$binary" -print -quit) ]]; then
  rm -rf "$root"
  mkdir -p "$root/bin" "$root/etc" "$root/tmp"
  rustc --edition 2024 --target "$target" -C target-feature=+crt-static -O -C panic=abort -C strip=symbols \
    --crate-name service -o "$binary" src/main.rs
  for name in sh curl wget probe connect sleep true false echo cat env; do ln -s service "$root/bin/$name"; done
  printf 'root:x:0:0:root:/:/bin/sh\nagent:x:1000:1000:agent:/:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\nagent:x:1000:\n' >"$root/etc/group"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
  touch "$root/tmp/.keep"
fi

if [[ ${1:-} == --image ]]; then
  # The classic builder, where there is no buildx, says on every build that it is deprecated.
  if ! said=$(docker build -q -t docker-orch-example:latest . 2>&1); then
    printf '%s\n' "$said" >&2
    exit 1
  fi
fi
