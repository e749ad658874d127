# What npm does not carry: nats-server, SoftHSM, a compiler. Sourced by prepare.sh; POSIX sh.

claviger_find_nats_server() {
  for claviger_candidate in "$(command -v nats-server)" /usr/sbin/nats-server /usr/local/bin/nats-server \
    "$claviger_root/.tools/nats/usr/sbin/nats-server"; do
    if [ -n "$claviger_candidate" ] && [ -x "$claviger_candidate" ] && claviger_others_can_execute_here "$claviger_candidate"; then
      echo "$claviger_candidate"
      return 0
    fi
  done
  return 1
}

# What lies in the clone is made reachable at start (src/reachable.ts), wherever the clone lies.
claviger_others_can_execute_here() {
  case $1 in "$claviger_root"/*) return 0 ;; esac
  claviger_others_can_execute "$1"
}

claviger_find_softhsm() {
  for claviger_candidate in "${CLAVIGER_PKCS11_MODULE:-}" /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so \
    /usr/lib64/softhsm/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so; do
    [ -n "$claviger_candidate" ] && [ -f "$claviger_candidate" ] && return 0
  done
  return 1
}

claviger_system_parts_there() {
  claviger_find_nats_server >/dev/null && claviger_find_softhsm
}

claviger_as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

# claviger_need_root PARTS: only where apt-get is there, and we may use it.
claviger_need_root() {
  command -v apt-get >/dev/null || claviger_fail "$1 is missing, and there is no apt-get to get it with" \
    "install it with this system's package manager ($2), then run the same command again"
  [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || claviger_fail "$1 is missing, and this user may not install packages" \
    "run once as root: apt-get install --no-install-recommends -y $3"
}

claviger_apt_update() {
  [ -z "${claviger_apt_updated:-}" ] || return 0
  claviger_say "asking the Debian mirror what there is (apt-get update)"
  claviger_quietly claviger_as_root apt-get update -qq ||
    claviger_fail "apt-get update failed" "its last lines are above; check the network and /etc/apt/sources.list"
  claviger_apt_updated=yes
}

claviger_apt_install() {
  claviger_apt_update
  claviger_say "installing $*"
  claviger_quietly claviger_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@" ||
    claviger_fail "apt-get could not install $*" "its last lines are above; run it by hand: apt-get install --no-install-recommends $*"
}

claviger_need_compiler() {
  claviger_missing=
  command -v g++ >/dev/null || claviger_missing="g++"
  command -v make >/dev/null || claviger_missing="$claviger_missing make"
  command -v python3 >/dev/null || claviger_missing="$claviger_missing python3"
  [ -n "$claviger_missing" ] || return 0
  claviger_need_root "a compiler ($claviger_missing)" "g++, make, python3" "$claviger_missing"
  # shellcheck disable=SC2086 # a list of packages
  claviger_apt_install $claviger_missing
}

# Debian's package would also start a NATS of its own on port 4222, open to the network and without a
# password. So the archive is only unpacked, into the clone.
claviger_get_nats_server() {
  claviger_need_root "nats-server" "nats-server 2.9 or newer" "nats-server"
  claviger_apt_update
  claviger_say "getting nats-server"
  rm -rf "$claviger_root/.tools/nats.part"
  mkdir -p "$claviger_root/.tools/nats.part"
  (umask 022 && cd "$claviger_root/.tools/nats.part" && claviger_quietly apt-get download -qq nats-server &&
    claviger_quietly dpkg-deb -x nats-server_*.deb . && rm -f nats-server_*.deb) ||
    claviger_fail "nats-server could not be fetched with apt-get" "install nats-server 2.9 or newer from https://nats.io and put it in PATH"
  rm -rf "$claviger_root/.tools/nats"
  mv "$claviger_root/.tools/nats.part" "$claviger_root/.tools/nats"
}

claviger_get_system_parts() {
  claviger_find_nats_server >/dev/null || claviger_get_nats_server
  if ! claviger_find_softhsm; then
    claviger_need_root "SoftHSM" "softhsm2" "softhsm2"
    claviger_apt_install softhsm2
    claviger_find_softhsm || claviger_fail "softhsm2 is installed, but libsofthsm2.so was not found" \
      "set CLAVIGER_PKCS11_MODULE to the path of libsofthsm2.so"
  fi
}
