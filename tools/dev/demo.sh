#!/usr/bin/env bash
# Order workflows on a file database: the process kills itself with SIGKILL in the middle (sent from
# here, as the machine would), starts again, and every order completes once.
# usage: demo.sh BUILD_FOLDER
set -euo pipefail

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/../.." && pwd)
orders=${DEMO_ORDERS:-30}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export ORDER_LEDGER="$work/ledger" ORDER_SHIPPING="$build/samples/libshipping.so"
: >"$ORDER_LEDGER"

echo "== $orders orders, database in a file, first process"
"$build/temporal-lua" run "$here/samples/order/demo.lua" "$work/orders.db" "$orders" &
pid=$!
disown "$pid"
for _ in $(seq 1 200); do
  charged=$(wc -l <"$ORDER_LEDGER")
  if [ "$charged" -ge $((orders / 2)) ]; then
    break
  fi
  sleep 0.02
done
kill -9 "$pid" 2>/dev/null || true
while kill -0 "$pid" 2>/dev/null; do
  sleep 0.01
done
echo "== killed with SIGKILL after $charged of $orders charges reached the provider"

echo "== second process, same database"
"$build/temporal-lua" run "$here/samples/order/demo.lua" "$work/orders.db" "$orders" "$work/history.json"

charges=$(grep -c '^charge ' "$ORDER_LEDGER")
keys=$(awk '$1 == "charge" {print $2}' "$ORDER_LEDGER" | sort -u | wc -l)
echo "== ledger: $charges charge requests, $keys distinct idempotency keys, $((charges - keys)) repeated by the crash:"
awk '$1 == "charge" {print $2}' "$ORDER_LEDGER" | sort | uniq -d |
  sed 's/^/   repeated, to be ignored by the provider: /'
if [ "$keys" -ne "$orders" ]; then
  echo "== FAILED: expected one key per order" >&2
  exit 1
fi
echo "== one history"
"$build/temporal-lua" workflow show --history-file "$work/history.json"
echo "== replay of that history against the script"
"$build/temporal-lua" replay --root "$here/samples/order" --workflows workflows.order \
  --activities activities.payment "$work/history.json"
