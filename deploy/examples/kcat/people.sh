#!/usr/bin/env bash
# Prints the people who are mentioned, as they are mentioned, until Ctrl-C. Needs kcat, jq and bash 4.
#
#   people.sh [-b HOST:PORT,…] [-t entities.per] [-o latest|earliest] [-- KCAT-OPTION…]
#
# What follows -- is kcat's: -e ends at the end of the topic, -X security.protocol=SSL talks TLS, …
set -euo pipefail

usage() {
    echo "usage: $0 [-b HOST:PORT,…] [-t TOPIC] [-o latest|earliest] [-- KCAT-OPTION…]" >&2
    exit 2
}

brokers=127.0.0.1:9092 topic=entities.per offset=end
while getopts b:t:o: option; do
    case $option:${OPTARG:-} in
        b:*) brokers=$OPTARG ;;
        t:*) topic=$OPTARG ;;
        o:latest) offset=end ;;
        o:earliest) offset=beginning ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))

# Delivery is at least once: after a restart or a rebalance of the worker some mentions come again, with the same id.
# Reads lines of "id TAB text" and prints the text of those whose id is not among the last ones.
each_once() {
    local id text oldest remembered=10000
    local -A seen=()
    local -a ids=()
    local -i number=0
    while IFS=$'\t' read -r id text; do
        [[ -v seen[$id] ]] && continue
        printf '%s\n' "$text"
        oldest=${ids[number % remembered]:-}
        [[ $oldest ]] && unset "seen[$oldest]"
        ids[number % remembered]=$id
        seen[$id]=1
        number+=1
    done
}

# One line each, without the line breaks and terminal escapes that strangers may have written.
lines='"\(.id)\t\("\(.text) (\(100 * .confidence | round)%) in post \(.post_id)" | gsub("[\\s\\p{Cc}]+"; " "))"'

# Ctrl-C and SIGTERM are for kcat alone; the others end when it does, and so print all that it read.
exec kcat -C -q -u -b "$brokers" -t "$topic" -o "$offset" -f '%s\n' "$@" \
    > >(trap '' INT TERM; jq -r --unbuffered "$lines" | each_once)
