# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the variables of `engines`, which sources this
# Processes, ports and waiting. A process is an engine of ours only while its own command line says so: a process id in
# a file may belong to somebody else after a reboot, and a file may be lost when its writer is killed.

# What marks the command line of an engine, as one whole argument.
marker() { echo "-Dtillstream.engine=$dir/$1"; }

# The engine's processes, one id a line; none when it is down.
pids() {
    local mark program=java file pid
    mark="$(marker "$1")"
    if [ "$1" = postgres ]; then
        mark="$dir/postgres/data" program=postgres
    fi
    { grep -lzxF -e "$mark" /proc/[0-9]*/cmdline 2>/dev/null || true; } | while read -r file; do
        pid="${file#/proc/}" pid="${pid%/cmdline}"
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$program" ] || echo "$pid"
    done
}

gone() { [ -z "$(pids "$1")" ]; }

# within SECONDS COMMAND…: waits until the command succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

# Runs a command as the engines' user, without this shell's environment and without the lock.
as_engine() {
    (
        cd "$dir" || exit
        exec "${as_user[@]}" env -i PATH="$PATH" HOME="$dir" LC_ALL=C.UTF-8 "$@" </dev/null 9>&-
    )
}

# Starts an engine's process, apart from this terminal. Its output goes to logs/$log.log, `log` being the engine's name
# unless the caller says otherwise.
launch() {
    local engine="$1" out="$dir/logs/${log:-$1}.log" old
    shift
    for old in "$dir/logs/$engine"*.log; do
        [ ! -e "$old" ] || mv -f "$old" "$old.1"
    done
    (
        cd "$dir/$engine" || exit
        exec setsid "${as_user[@]}" env -i PATH="$PATH" HOME="$dir/$engine" LC_ALL=C.UTF-8 "$@" </dev/null >"$out" 2>&1 9>&-
    ) &
    launched["$engine"]=$!
    echo "$!" >"$dir/$engine.pid"
}

# Stops an engine: it is asked first, and killed when it has not ended within a minute.
stop() {
    local engine="$1" ask=TERM
    if [ "$engine" = postgres ]; then
        ask=INT # ends its sessions; TERM would wait for them
    fi
    # Not there yet by its command line, but ours: a child of this shell.
    if [ -n "${launched[$engine]:-}" ]; then
        kill -s TERM "${launched[$engine]}" 2>/dev/null || true
    fi
    signal "$engine" "$ask"
    if ! within 60 gone "$engine"; then
        say "$engine does not stop; killing it"
        signal "$engine" KILL
        within 20 gone "$engine" || return 1
    fi
    if [ "$engine" = postgres ]; then
        within 20 postgres_left || return 1
    fi
    rm -f "$dir/$engine.pid"
}

signal() {
    local pid
    for pid in $(pids "$1"); do
        # A stopped process (SIGSTOP) ends only when it runs again.
        { kill -s "$2" "$pid" && kill -s CONT "$pid"; } 2>/dev/null || true
    done
}

port() { echo "${ports[$1]}"; }

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free() { ! taken "$1"; }

load_ports() {
    local name number
    [ -e "$dir/ports" ] || return 0
    while IFS='=' read -r name number; do
        ports["$name"]="$number"
    done <"$dir/ports"
}

# Keeps the ports of the last time, and chooses another for one that is taken by a stranger while its engine is down.
choose_ports() {
    local name engine number
    for name in "${!first_port[@]}"; do
        engine="${name%%_*}"
        gone "${engine,,}" || continue
        number="${ports[$name]:-${first_port[$name]}}"
        # A process that is killed loses its name before its sockets, so that its port may be taken by nobody for a moment.
        if [ "${ports[$name]:-}" = "$number" ]; then
            within 10 free "$number" || say "port $number of $name is taken, choosing another"
        fi
        while taken "$number" || { [ "${ports[$name]:-}" != "$number" ] && chosen "$number"; }; do
            number=$((number + 10))
        done
        ports["$name"]="$number"
    done
    for name in "${!ports[@]}"; do
        echo "$name=${ports[$name]}"
    done | sort >"$dir/ports.new"
    mv "$dir/ports.new" "$dir/ports"
}

chosen() {
    local number
    for number in "${ports[@]}"; do
        [ "$number" != "$1" ] || return 0
    done
    return 1
}

# fill TEMPLATE FILE: replaces @PORT NAME@, @LOGS@ and @HOME@, the engine's directory (`home` of the caller).
fill() {
    local name script=("-e" "s|@LOGS@|$dir/logs|g" "-e" "s|@HOME@|${home:?}|g")
    for name in "${!ports[@]}"; do
        script+=("-e" "s|@$name@|${ports[$name]}|g")
    done
    sed "${script[@]}" "$1" >"$2"
}
