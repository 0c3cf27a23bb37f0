# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the variables of `engines`, which sources this
# PostgreSQL: a cluster of its own, never the system's.

postgres_start() {
    local home="$dir/postgres" data="$dir/postgres/data"
    if [ ! -d "$data" ]; then
        rm -rf "$data.new"
        as_engine "$postgres_bin/initdb" -D "$data.new" -U tillstream --auth=trust --encoding=UTF8 --locale=C \
            --data-checksums >"$dir/logs/postgres.log" 2>&1 || return 1
        mv "$data.new" "$data"
    fi
    if [ "$(cat "$data/PG_VERSION")" != "$(postgres_major)" ]; then
        echo "the cluster in $data is of PostgreSQL $(cat "$data/PG_VERSION"), the one installed is $(postgres_major)" \
            >"$dir/logs/postgres.log"
        return 1
    fi
    fill "$here/postgres/postgresql.conf" "$data/postgresql.conf"
    own "$data/postgresql.conf"
    # After a kill -9 the old server's children end by themselves; the new one must not start before.
    within 30 postgres_left || return 1
    # Nobody works in the directory, so this is left over, and its process id may be somebody else's by now.
    rm -f "$data/postmaster.pid"
    launch postgres "$postgres_bin/postgres" -D "$data"
}

# Every process of a cluster works in its data directory.
postgres_left() {
    local cwd
    for cwd in /proc/[0-9]*/cwd; do
        [ "$(readlink "$cwd" 2>/dev/null)" != "$dir/postgres/data" ] || return 1
    done
}

postgres_ready() {
    "$postgres_bin/pg_isready" -q -t 5 -h 127.0.0.1 -p "$(port POSTGRES)" -U tillstream -d postgres || return 1
    [ -e "$dir/postgres/database" ] || postgres_database
}

# The database exists from the first `up` on; making it belongs to being ready.
postgres_database() {
    local ask=("$postgres_bin/psql" -X -q -A -t -h 127.0.0.1 -p "$(port POSTGRES)" -U tillstream -d postgres)
    if [ "$("${ask[@]}" -c "SELECT 1 FROM pg_database WHERE datname = 'tillstream'")" != 1 ]; then
        "${ask[@]}" -c 'CREATE DATABASE tillstream' || return 1
    fi
    : >"$dir/postgres/database"
}

postgres_major() { "$postgres_bin/postgres" -V | sed -E 's/^[^0-9]*([0-9]+).*/\1/'; }
