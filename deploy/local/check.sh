#!/bin/sh
# Everything that can be said about the tree without running it. Each check runs, also after one failed;
# the exit status is 1 when any did. Run through `npm run check`, which finds Node first.
set -u
cd "$(dirname -- "$0")/../.." || exit 1
failed=
passed=0
PATH=$PWD/node_modules/.bin:$PATH
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

run() {
  name=$1
  shift
  if "$@" >"$scratch/output" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed="$failed${failed:+, }$name"
    cat "$scratch/output"
    echo "FAILED  $name"
  fi
}

# Generated files are committed: generate them again elsewhere, and compare file by file.
generated_is_fresh() {
  buf generate --output "$scratch/generated" || return 1
  (cd "$scratch/generated" && find . -type f -name '*_pb.ts' | sort) >"$scratch/expected"
  find . -path ./node_modules -prune -o -path ./.tools -prune -o -path ./.claviger -prune -o -type f -name '*_pb.ts' -print |
    sort >"$scratch/committed"
  if ! diff "$scratch/expected" "$scratch/committed"; then
    echo "these generated files are missing (<) or no longer generated (>): run npm run generate"
    return 1
  fi
  while read -r file; do
    cmp -s "$file" "$scratch/generated/$file" || {
      echo "$file differs from what the contract says: run npm run generate"
      return 1
    }
  done <"$scratch/expected"
}

run "biome" biome check .
run "types" tsc --noEmit -p .
run "contracts (buf lint)" buf lint
run "generated code is fresh" generated_is_fresh
run "unused code (knip)" knip

# .ci/run reads this line.
if [ -n "$failed" ]; then
  echo "checks: $passed passed, $(echo "$failed" | awk -F', ' '{ print NF }') failed ($failed)"
  exit 1
fi
echo "checks: $passed passed, 0 failed"
