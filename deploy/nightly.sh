#!/bin/sh
# Ingests the shop's files and the live log, then trains.
# Usage: nightly.sh          run once
#        nightly.sh HH:MM    run now, then every day at this local time
set -eu

: "${EXPORT:=/export}" "${DATA:=/data}" "${MODELS:=/models}"

run() {
    recsys ingest --events "$EXPORT/events" --items "$EXPORT/items" --config "$EXPORT/shop.toml" \
        --from-store "$MODELS/store.sqlite" --out "$DATA/shop"
    recsys train --data "$DATA/shop" --models "$MODELS" --config "$EXPORT/shop.toml" --if-changed
}

if [ $# -eq 0 ]; then
    run
    exit
fi

while :; do
    # A separate process, because `set -e` has no effect inside a condition.
    sh "$0" || echo "nightly: the run failed; the bundle that is served is unchanged" >&2
    now=$(date +%s)
    next=$(date -d "$1" +%s)
    [ "$next" -gt "$now" ] || next=$(date -d "tomorrow $1" +%s)
    sleep $((next - now))
done
