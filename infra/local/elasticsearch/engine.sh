# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the variables of `engines`, which sources this
# Elasticsearch: one node, the core of the product only (no plugins, no security).

elasticsearch_start() {
    local home="$dir/elasticsearch" software="$dir/software/elasticsearch" config="$dir/elasticsearch/config"
    rm -rf "$config"
    cp -r "$software/config" "$config"
    fill "$here/elasticsearch/elasticsearch.yml" "$config/elasticsearch.yml"
    cp "$here/elasticsearch/log4j2.properties" "$config/"
    # The archive's own options write heap dumps, crash files and collector logs beside the software.
    printf '%s\n' "$(marker elasticsearch)" "${jit[@]}" -Xms512m -Xmx512m -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData \
        "-Djava.io.tmpdir=$home/tmp" "-XX:ErrorFile=$dir/logs/elasticsearch.crash" \
        '20-:--add-modules=jdk.incubator.vector' >"$config/jvm.options"
    own "$config"
    # The launcher ends when the server is ready (-d), and says on its standard error why it is not.
    local log=elasticsearch-launcher
    launch elasticsearch env "ES_JAVA_HOME=${java%/bin/java}" "ES_PATH_CONF=$config" "ES_TMPDIR=$home/tmp" \
        "CLI_JAVA_OPTS=$(marker elasticsearch) -Xms16m -Xmx64m -XX:-UsePerfData" "$software/bin/elasticsearch" -d
}

# Health answered, and every primary shard there.
elasticsearch_ready() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    local ask='
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf "GET /_cluster/health HTTP/1.0\r\n\r\n" >&3
        cat <&3 | grep -qE "\"status\":\"(green|yellow)\""'
    timeout 5 bash -ec "$ask" ask "$(port ELASTICSEARCH)" 2>/dev/null
}
