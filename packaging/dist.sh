#!/usr/bin/env bash
# dist.sh NAME FOLDER BUILT FEATURES: makes FOLDER/NAME.tar.gz and its SHA-256. `make dist` calls it.
# BUILT is a folder with what is built already; empty: it is built, without this machine's paths in it.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 folder=$2 built=$3 features=$4
: "${SOURCE_DATE_EPOCH:?"set it to the seconds since 1970 that the files are to be dated: here is no git to ask"}"
export SOURCE_DATE_EPOCH
unset MAKEFLAGS MAKELEVEL # what the caller of `make dist` overrides is not meant for the calls below
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

if [ -z "$built" ]; then
  cargo fetch --locked
  flags="--remap-path-prefix=$PWD=/spinect"
  for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags+=" --remap-path-prefix=$crates=/crates"
  done
  RUSTFLAGS="${RUSTFLAGS:-} $flags" make build TARGET_DIR="$folder/build" FEATURES="$features"
  built=$folder/build/release
  make sbom TARGET_DIR="$folder/build" FEATURES="$features" || echo "NOTE: the archive will have no SBOM" >&2
fi

stage=$(mktemp -d "$folder/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
umask 022
# Its own folder is its prefix, wherever it is unpacked.
make --no-print-directory install BUILT="$built" FEATURES="$features" DESTDIR="$stage" PREFIX="/$name" PC_PREFIX='$${pcfiledir}/../..'
tar --directory "$stage" --create --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r,go-w \
  --mtime="@$SOURCE_DATE_EPOCH" "$name" | gzip --no-name > "$folder/$name.tar.gz.part"
mv "$folder/$name.tar.gz.part" "$folder/$name.tar.gz"
(cd "$folder" && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
