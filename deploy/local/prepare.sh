# Gets what this machine lacks, and puts the right Node first in PATH. Sourced by run.sh; POSIX sh.
#
#   claviger_root       the clone, absolute (set by whoever sources this)
#   claviger_prepare    "node" finds Node only, "modules" also installs the npm dependencies,
#                       "system" also gets nats-server and SoftHSM
#
# When nothing is missing it forks a handful of processes and prints nothing. What is missing is
# looked at again under a lock, since `npm start` and `npm test` may both begin in a fresh clone.

. "$claviger_root/deploy/local/find-node.sh"
. "$claviger_root/deploy/local/system-parts.sh"

claviger_say() { echo "claviger: $*" >&2; }
claviger_fail() {
  echo "error: $1" >&2
  echo "hint: $2" >&2
  exit 6
}

# Runs a command whose output matters only when it fails.
claviger_quietly() {
  claviger_output=$claviger_root/.tools/last-command.log
  "$@" >"$claviger_output" 2>&1 9>&- && return 0
  claviger_status=$?
  # The reason is said first (npm) or last (apt-get); between them can lie pages.
  if [ "$(wc -l <"$claviger_output")" -gt 24 ]; then
    head -n 12 "$claviger_output" >&2
    echo "  (all of it: $claviger_output)" >&2
    tail -n 8 "$claviger_output" >&2
  else
    cat "$claviger_output" >&2
  fi
  return "$claviger_status"
}

# npm leaves optional packages of other platforms out of a lock file that was made where the registry
# did not serve them, and npm ci then refuses the whole file. npm install accepts it, with the versions
# and hashes that it names, and --no-save leaves it as it is.
claviger_npm_ci() {
  npm ci --no-audit --no-fund || {
    grep -q 'code EUSAGE' "$claviger_root/.tools/last-command.log" >/dev/null &&
      npm install --no-save --no-audit --no-fund
  }
}

claviger_use_node() {
  claviger_find_node "$claviger_root" || return 1
  PATH=$(dirname "$claviger_node"):$PATH
  export PATH
}

claviger_get_node() {
  [ -n "$claviger_node_package" ] || claviger_fail "there is no Node >= $claviger_node_major here, and no npm package with one for $(uname -m)" \
    "install Node $claviger_node_major or newer from https://nodejs.org and put it first in PATH"
  command -v npm >/dev/null || claviger_fail "there is neither a Node >= $claviger_node_major nor an npm to get one with" \
    "install Node $claviger_node_major or newer, or npm of any age (apt-get install npm)"
  claviger_say "getting Node $claviger_node_major (once, about 190 MB)"
  mkdir -p "$claviger_root/.tools/node"
  # npm would otherwise climb to the clone's own package.json and install into that.
  [ -f "$claviger_root/.tools/node/package.json" ] || echo '{"private":true}' >"$claviger_root/.tools/node/package.json"
  claviger_quietly npm install --prefix "$claviger_root/.tools/node" --no-save --no-audit --no-fund --workspaces=false \
    "$claviger_node_package@$claviger_node_major" ||
    claviger_fail "npm could not get $claviger_node_package@$claviger_node_major" "check the network and the npm registry (npm ping), then run the same command again"
  claviger_use_node || claviger_fail "the Node that npm brought does not run on this machine" \
    "install Node $claviger_node_major or newer from https://nodejs.org and put it first in PATH"
}

claviger_lock_hash() {
  set -- $(sha256sum "$claviger_root/package-lock.json")
  echo "$1"
}

claviger_modules_current() {
  claviger_modules=$claviger_root/node_modules
  [ -f "$claviger_modules/.package-lock.json" ] && [ -f "$claviger_modules/pkcs11js/build/Release/pkcs11.node" ] || return 1
  [ -L "$claviger_modules/.bin/claviger" ] || return 1
  claviger_stamp=
  [ -f "$claviger_modules/.claviger-stamp" ] && read -r claviger_stamp <"$claviger_modules/.claviger-stamp"
  [ "$claviger_stamp" = "$(claviger_lock_hash)" ]
}

# Somebody who works on the dependencies runs npm install by hand; npm then writes its own copy of the
# lock file last. That tree is as good as ours.
claviger_modules_by_hand() {
  claviger_modules=$claviger_root/node_modules
  [ -f "$claviger_modules/.package-lock.json" ] && [ -f "$claviger_modules/pkcs11js/build/Release/pkcs11.node" ] &&
    [ ! "$claviger_root/package-lock.json" -nt "$claviger_modules/.package-lock.json" ]
}

# Without the headers at hand node-gyp would download them from another host.
claviger_use_headers() {
  claviger_distribution=$(dirname "$(dirname "$(readlink -f "$claviger_node")")")
  if [ -d "$claviger_distribution/include" ]; then
    npm_config_nodedir=$claviger_distribution
    export npm_config_nodedir
  fi
}

claviger_get_modules() {
  if ! claviger_modules_by_hand; then
    claviger_need_compiler
    command -v npm >/dev/null || claviger_fail "npm is missing" "install npm (apt-get install npm)"
    claviger_use_headers
    claviger_say "installing the dependencies"
    # The services' own uids have to read what npm writes.
    (umask 022 && cd "$claviger_root" && claviger_quietly claviger_npm_ci) ||
      claviger_fail "the dependencies could not be installed" "what npm said is above; check the network and the registry (npm ping), and whether package-lock.json is current (npm install)"
    [ -f "$claviger_root/node_modules/pkcs11js/build/Release/pkcs11.node" ] ||
      (umask 022 && cd "$claviger_root" && claviger_quietly npm rebuild pkcs11js) ||
      claviger_fail "the HSM driver pkcs11js could not be compiled" "install g++, make and python3, then run: npm rebuild pkcs11js"
  fi
  ln -sfn ../../bin/claviger "$claviger_root/node_modules/.bin/claviger"
  claviger_lock_hash >"$claviger_root/node_modules/.claviger-stamp.new"
  mv "$claviger_root/node_modules/.claviger-stamp.new" "$claviger_root/node_modules/.claviger-stamp"
}

# Compiled against Node's own headers: whenever its sources are newer than what they became.
claviger_native_current() {
  claviger_native=$claviger_root/packages/aes-gcm/native
  for claviger_source in "$claviger_native/aes-gcm.c" "$claviger_native/binding.gyp"; do
    [ "$claviger_native/build/Release/aes_gcm.node" -nt "$claviger_source" ] || return 1
  done
}

claviger_get_native() {
  claviger_need_compiler
  claviger_use_headers
  claviger_say "compiling the native part of AES-GCM"
  (umask 022 && cd "$claviger_root" && claviger_quietly npm run native) ||
    claviger_fail "packages/aes-gcm could not be compiled" "install g++, make and python3, then run: npm run native"
}

claviger_all_there() {
  claviger_use_node || return 1
  [ "$claviger_prepare" = node ] && return 0
  claviger_modules_current || return 1
  [ "$claviger_prepare" = modules ] || { claviger_native_current && claviger_system_parts_there; }
}

claviger_get_missing() {
  mkdir -p "$claviger_root/.tools" 2>/dev/null || claviger_fail "the clone cannot be written to by $(id -un)" \
    "run the first start as the owner of $claviger_root"
  exec 9>"$claviger_root/.tools/prepare.lock"
  # Part of util-linux and of busybox; without it two first starts at once are not guarded.
  if command -v flock >/dev/null; then
    flock -n 9 || { claviger_say "waiting for another start in this clone to finish its preparations" && flock 9; }
  fi
  claviger_use_node || claviger_get_node
  claviger_modules_current || claviger_get_modules
  [ "$claviger_prepare" = modules ] || claviger_native_current || claviger_get_native
  [ "$claviger_prepare" = modules ] || claviger_get_system_parts
  # The lock must not live on in the programs that are started next.
  exec 9>&-
}

if ! claviger_all_there; then
  [ "$claviger_prepare" != node ] || claviger_fail "no Node >= $claviger_node_major was found" "run npm start first: it gets one"
  claviger_get_missing
fi
CLAVIGER_NATS_SERVER=$(claviger_find_nats_server) && export CLAVIGER_NATS_SERVER || unset CLAVIGER_NATS_SERVER
