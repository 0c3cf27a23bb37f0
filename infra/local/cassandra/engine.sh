# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the variables of `engines`, which sources this
# Cassandra: one node, CQL on loopback.

cassandra_start() {
    local home="$dir/cassandra" software="$dir/software/cassandra"
    local jamm=("$software"/jamm-*.jar)
    fill "$here/cassandra/cassandra.yaml" "$home/cassandra.yaml"
    fill "$here/cassandra/jvm.options" "$home/jvm.options"
    fill "$here/cassandra/logback.xml" "$home/logback.xml"
    launch cassandra "$java" "$(marker cassandra)" "${jit[@]}" "@$home/jvm.options" "-javaagent:${jamm[0]}" \
        "-Djava.io.tmpdir=$home/tmp" "-Djna.tmpdir=$home/tmp" "-XX:ErrorFile=$dir/logs/cassandra.crash" \
        "-Dcassandra.config=file://$home/cassandra.yaml" "-Dcassandra.storagedir=$home" \
        "-Dlogback.configurationFile=file://$home/logback.xml" \
        -cp "$software/*" org.apache.cassandra.service.CassandraDaemon
}

# A statement answered over the native protocol, version 4: STARTUP is met with READY (0x02), QUERY with RESULT (0x08).
cassandra_ready() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    local ask='
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        reply() { head -c 9 <&3 | od -An -v -tx1 | tr -d " \n" | cut -c9-10; }
        printf "\x04\x00\x00\x00\x01\x00\x00\x00\x16\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0" >&3
        [ "$(reply)" = 02 ]
        printf "\x04\x00\x00\x01\x07\x00\x00\x00\x23\x00\x00\x00\x1cSELECT key FROM system.local\x00\x01\x00" >&3
        [ "$(reply)" = 08 ]'
    timeout 5 bash -ec "$ask" ask "$(port CASSANDRA)" 2>/dev/null
}
