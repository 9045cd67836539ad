#!/bin/sh
# Installs PostgreSQL's server where it is missing; tests/lake starts one of its own from it.
set -eu
for folder in /usr/lib/postgresql/*/bin; do
    if [ -x "$folder/initdb" ]; then exit 0; fi
done
if command -v initdb >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null; then
    echo "install PostgreSQL's server programs: tests/lake needs initdb, pg_ctl and createdb" >&2
    exit 1
fi
root=""
if [ "$(id -u)" != 0 ]; then root="sudo -n"; fi
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -qq
$root apt-get install -y -qq --no-install-recommends postgresql
