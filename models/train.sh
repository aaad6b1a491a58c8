#!/bin/sh
# Makes demonstration.safetensors again: models/train.sh FOLDER (an empty one, for 3 GB of phantoms). 6,000 steps of 0.9 s
# on two cores, phantoms, validation and test aside.
set -eu
work=${1:?name a folder to work in}
here=$(cd "$(dirname "$0")" && pwd)
spinect=${SPINECT:-$here/../target/release/spinect}
[ -x "$spinect" ] || cargo build --release --locked --features cli,trainer --manifest-path "$here/../Cargo.toml"
mkdir -p "$work"
cd "$work"

# Seeds 1 to 10 are kept out: they are in neither training nor validation.
"$spinect" phantom -o held-out --count 10 --seed 1
"$spinect" phantom -o validation --count 4 --seed 101
"$spinect" phantom -o training --count 110 --seed 1001
"$spinect" phantom -o coarse --count 90 --seed 2001 --sampled-down

{
  echo id,image,label,split
  for part in training:train coarse:train validation:validation held-out:test; do
    folder=${part%:*}
    for image in "$folder"/images/*; do
      name=$(basename "$image")
      echo "$folder-${name%.nii.gz},$image,$folder/labels/$name,${part#*:}"
    done
  done
} > cases.csv

"$spinect" train --data cases.csv -o run --options "$here/train.json" --channels 16,48,96,192 --name spinect-demonstration
"$spinect" convert run/last.safetensors --weights f16 --pieces nerve=1 -o demonstration.safetensors \
  --provenance trained_on="200 synthetic phantoms (spinect phantom), no patient" \
  --provenance intended_use="demonstration and tests of software; not for patients"

# What the file itself does on the ten that it never saw. Eight pieces of nerve: of 1, 2, 3, 5
# and 8 the best on the phantoms for validation.
mkdir -p found
for image in held-out/images/*; do
  "$spinect" segment "$image" --model demonstration.safetensors --clean nerve=8 -o "found/$(basename "$image")" > /dev/null
done
"$spinect" evaluate --truth held-out/labels --prediction found --images held-out/images --report report
