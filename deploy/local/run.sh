#!/bin/sh
# What the root package's scripts run: run.sh start|stop|reset|test|check|bench|generate [arguments];
# and what the command line has done on the services' host: init|backup-create|backup-drill|restore|custodians-change
set -eu
claviger_root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
claviger_command=${1:-}
[ $# -eq 0 ] || shift

case $claviger_command in
  start | test | bench | init | backup-create | backup-drill | restore | custodians-change) claviger_prepare=system ;;
  check | generate) claviger_prepare=modules ;;
  stop | reset) claviger_prepare=node ;;
  *)
    echo "error: usage: run.sh start|stop|reset|test|check|bench|generate [arguments]" >&2
    exit 2
    ;;
esac
# Asking for help must not install anything.
case ${1:-} in --help | -h) case $claviger_command in start | stop | reset) claviger_prepare=node ;; esac ;; esac

cd "$claviger_root"
. "$claviger_root/deploy/local/prepare.sh"

case $claviger_command in
  start | stop | reset | init | backup-create | backup-drill | restore | custodians-change) exec node "deploy/local/src/$claviger_command.ts" "$@" ;;
  test) exec node node_modules/vitest/vitest.mjs run "$@" ;;
  bench) exec node test/bench/src/main.ts "$@" ;;
  check) exec sh deploy/local/check.sh "$@" ;;
  generate) exec node node_modules/.bin/buf generate "$@" ;;
esac
