# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the variables of `engines`, which sources this
# What must be installed, and the engines' own software: resolved by Maven, checked, kept in $dir/software.

# Finds a Java 17 (the newest that Cassandra 5 runs on), Maven, PostgreSQL's programs and unzip; on Debian, root installs
# what is missing.
require_packages() {
    local missing=()
    find_java || missing+=(openjdk-17-jre-headless)
    find_postgres || missing+=(postgresql)
    if ! verified && ! lender >/dev/null; then
        command -v mvn >/dev/null || missing+=(maven)
        command -v unzip >/dev/null || missing+=(unzip)
    fi
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing ${missing[*]} with apt-get"
        install_packages "${missing[@]}" >"$dir/logs/apt.log" 2>&1 || fail "can't install ${missing[*]}" "$dir/logs/apt.log"
        find_java || fail "Java 17 is installed, but not found"
        find_postgres || fail "PostgreSQL is installed, but its programs are not found"
    else
        fail "missing: ${missing[*]} (names of Debian 12's packages; JAVA_HOME may name a Java 17)"
    fi
}

install_packages() {
    apt-get update -qq || return 1
    if [[ " $* " = *" postgresql "* ]]; then
        # Its programs are wanted, not the cluster `main` on port 5432 that Debian makes with them, and starts.
        { apt_install postgresql-common && no_main_cluster; } || return 1
    fi
    apt_install "$@"
}

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; }

# The package makes this file when it is installed, so it is changed after that.
no_main_cluster() {
    local conf=/etc/postgresql-common/createcluster.conf
    sed -i '/^[# ]*create_main_cluster\b/d' "$conf" && echo "create_main_cluster = false" >>"$conf"
}

find_java() {
    local home
    for home in "${JAVA_HOME:-}" /usr/lib/jvm/*17* "$(dirname "$(dirname "$(readlink -f "$(command -v java || true)")")")"; do
        if [ -n "$home" ] && [ -x "$home/bin/java" ] && "$home/bin/java" -version 2>&1 | grep -q 'version "17\.'; then
            java="$home/bin/java"
            return 0
        fi
    done
    return 1
}

# The version of the cluster that is there, if it is there; else the newest.
find_postgres() {
    local bin version
    version="$(cat "$dir/postgres/data/PG_VERSION" 2>/dev/null || true)"
    while read -r bin; do
        if [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ]; then
            postgres_bin="$bin"
            return 0
        fi
    done < <(
        echo "/usr/lib/postgresql/${version:-none}/bin"
        printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV
        dirname "$(command -v initdb || echo /nowhere/initdb)"
    )
    return 1
}

# As root, the engines run as a user of their own: Elasticsearch and PostgreSQL refuse root.
require_user() {
    [ "$(id -u)" = 0 ] || return 0
    if ! id "$engine_user" >/dev/null 2>&1; then
        command -v useradd >/dev/null || fail "the user $engine_user is missing, and there is no useradd to make it"
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$engine_user" ||
            fail "can't make the user $engine_user"
    fi
    as_user=(setpriv "--reuid=$engine_user" "--regid=$(id -g "$engine_user")" --clear-groups)
    "${as_user[@]}" test -x "$dir" || fail "the user $engine_user can't enter $dir: set TILLSTREAM_ENGINES_DIR to another place"
}

own() {
    [ "$(id -u)" != 0 ] || chown -R "$engine_user:" "$@"
}

# The software is there, and it is what checksums.txt names.
verified() { cmp -s "$here/checksums.txt" "$dir/software/verified"; }

# Another set of this repository that has the software already.
lender() {
    local other
    for other in "$default_dir" "$default_dir"-*; do
        if [ "$other" != "$dir" ] && cmp -s "$here/checksums.txt" "$other/software/verified"; then
            echo "$other/software"
            return 0
        fi
    done
    return 1
}

# Takes it from there, by hard links where they can be made.
borrow() {
    local from
    from="$(lender)" || return 1
    rm -rf "$new" "$dir/software"
    cp -al "$from" "$new" 2>/dev/null || { rm -rf "$new" && cp -a "$from" "$new"; } || return 1
    mv "$new" "$dir/software"
}

require_software() {
    local new="$dir/software.new"
    ! verified || return 0
    for engine in "${all[@]}"; do
        [ "$engine" = postgres ] || gone "$engine" || fail "$engine runs on other software than this: stop it first (engines down)"
    done
    ! borrow || return 0
    say "fetching Cassandra, Kafka and Elasticsearch with Maven"
    rm -rf "$new"
    mvn -B -C -ntp -f "$here/pom.xml" package "-Dengines.software=$new" >"$dir/logs/maven.log" 2>&1 ||
        fail "Maven can't fetch the software" "$dir/logs/maven.log"
    # Neither another file than listed nor one more: all of them end on a class path.
    (cd "$new" && sha256sum ./*/* | sed 's|\./||' | LC_ALL=C sort -k 2 | diff "$here/checksums.txt" -) >"$dir/logs/checksums.log" ||
        fail "what Maven fetched is not what checksums.txt lists" "$dir/logs/checksums.log"
    (cd "$new/elasticsearch" && unzip -q ./*.zip && rm ./*.zip && mv elasticsearch-*/* . && rmdir elasticsearch-*) ||
        fail "can't unpack Elasticsearch"
    cp "$here/checksums.txt" "$new/verified"
    chmod -R a+rX "$new"
    rm -rf "$dir/software"
    mv "$new" "$dir/software"
}
