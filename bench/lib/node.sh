# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by benchmarks: one node with one reactor on the first core, the load on the last; in a directory of its own,
# which goes at the end. The caller sets offset (added to every port) and backend.
bin=build/release
dir=$(mktemp -d)
pid=""
cleanup() { [ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT
serve_on="taskset -c 0" load_on="taskset -c $(($(nproc) - 1))"

start() { # start DATA [options]: waits until ready; leaves the process in pid, the milliseconds it took in ready_ms
  local data=$1; shift
  local began; began=$(date +%s%N)
  $serve_on $bin/tercet serve --data "$data" --port-offset "$offset" --set node.cores=1 --set node.pin=false \
    --set node.backend="${backend:-auto}" "$@" >"$dir/node.log" 2>&1 &
  pid=$!
  until curl -sf -o /dev/null "http://127.0.0.1:$((9090 + offset))/readyz"; do
    kill -0 $pid || { cat "$dir/node.log"; exit 1; }
    sleep 0.01
  done
  ready_ms=$((($(date +%s%N) - began) / 1000000))
}
stop() { kill -TERM "$pid"; wait "$pid" || true; pid=""; }
rss_mb() { awk '/VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$pid/status"; }
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$pid/stat"; }
cpu_us() { # finer: cpu_ms counts clock ticks; of the threads that live
  cat /proc/"$pid"/task/*/schedstat 2>/dev/null | awk '{ ns += $1 } END { printf "%.0f", ns / 1000 }'
}
metric() { curl -s "http://127.0.0.1:$((9090 + offset))/metrics" | sed -n "s/^$1 //p"; }

seal_now() { # a log record, so that the generation is sealed once it is older than the node's storage.seal_age; waits
  until [ "$(metric tercet_memtable_bytes)" = 0 ] && [ "$(metric tercet_segments)" != 0 ]; do
    curl -s -o /dev/null -H 'content-type: application/json' -d '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"seal"}}]}]}]}' "http://127.0.0.1:$((4318 + offset))/v1/logs"
    sleep 0.4
  done
}
ms_of() { # ms_of TRACE_ID: the milliseconds of one look-up; the trace goes to $dir/trace
  curl -sf -o "$dir/trace" -w '%{time_total}\n' "http://127.0.0.1:$((3200 + offset))/api/v2/traces/$1" | awk '{ print $1 * 1000 }'
}
cold_ms_of() { # the same, with nothing in the page cache
  sync
  echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || echo "(not root: the page cache stays warm)" >&2
  ms_of "$1"
}
summary() { # of numbers, one a line
  sort -n | awk '{ v[NR] = $1 } END { printf "%.1f ms median, %.1f p99, %.1f slowest of %d", v[int((NR + 1) / 2)], v[int(NR * 0.99 + 0.5)], v[NR], NR }'
}
