# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the variables of `engines`, which sources this
# Kafka: one node that is broker and controller (KRaft).

kafka_start() {
    local home="$dir/kafka" classes="$dir/software/kafka/*"
    local java_options=("-Dlog4j2.configurationFile=file://$home/log4j2.properties" "-Djava.io.tmpdir=$home/tmp")
    fill "$here/kafka/server.properties" "$home/server.properties"
    fill "$here/kafka/log4j2.properties" "$home/log4j2.properties"
    if [ ! -e "$home/formatted" ]; then
        # Whatever is there is a format that was cut short: no broker has ever run on it.
        rm -rf "$home/data"
        local id
        # A leading dash would look like an option.
        id="$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' | sed 's/^-/A/')"
        as_engine "$java" "${java_options[@]}" -cp "$classes" kafka.tools.StorageTool format -t "$id" \
            -c "$home/server.properties" >"$dir/logs/kafka.log" 2>&1 || return 1
        : >"$home/formatted"
    fi
    launch kafka "$java" "$(marker kafka)" "${jit[@]}" -Xms256m -Xmx512m -XX:+UseG1GC -XX:MaxGCPauseMillis=50 -XX:+ExitOnOutOfMemoryError \
        -XX:-UsePerfData -Djava.awt.headless=true "-XX:ErrorFile=$dir/logs/kafka.crash" "${java_options[@]}" \
        -cp "$classes" kafka.Kafka "$home/server.properties"
}

# ApiVersions (key 18, version 0, correlation id 42) answered without an error; the broker answers once it is unfenced.
kafka_ready() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    local ask='
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf "\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x2a\xff\xff" >&3
        [ "$(head -c 10 <&3 | od -An -v -tx1 | tr -d " \n" | cut -c9-)" = 0000002a0000 ]'
    timeout 5 bash -ec "$ask" ask "$(port KAFKA)" 2>/dev/null
}
