#!/bin/sh
# Ingests the shop's files and the live log, then trains.
# Usage: nightly.sh          run once
#        nightly.sh HH:MM    run now, then every day at this local time
set -eu

: "${EXPORT:=/export}" "${DATA:=/data}" "${MODELS:=/models}"

run() {
    set --
    for table in items users offers; do
        [ ! -e "$EXPORT/$table" ] || set -- "$@" "--$table" "$EXPORT/$table"
    done
    case ${RECSYS_STORE:-} in
    postgres*) set -- "$@" --from-store "$RECSYS_STORE" ;;
    # The file does not exist before the first start of the server.
    *) [ ! -e "$MODELS/store.sqlite" ] || set -- "$@" --from-store "$MODELS/store.sqlite" ;;
    esac
    recsys ingest --events "$EXPORT/events" "$@" --config "$EXPORT/shop.toml" --out "$DATA/shop"
    recsys train --data "$DATA/shop" --models "$MODELS" --config "$EXPORT/shop.toml" --if-changed
}

if [ $# -eq 0 ]; then
    run
    exit
fi

while :; do
    # A separate process, because `set -e` has no effect inside a condition.
    sh "$0" || echo "nightly: the run failed; the current bundle is unchanged" >&2
    now=$(date +%s)
    next=$(date -d "$1" +%s)
    [ "$next" -gt "$now" ] || next=$(date -d "tomorrow $1" +%s)
    sleep $((next - now))
done
