# shellcheck shell=bash disable=SC2154
# Sourced by benchmarks after node.sh: Debian's Prometheus and VictoriaMetrics on the core that the node has, with their data in $dir. One at a
# time; its process is in peer, its port in port.
peer=""
stop_peer() { [ -z "$peer" ] || { kill "$peer" 2>/dev/null || true; wait "$peer" 2>/dev/null || true; }; peer=""; }
trap 'stop_peer; cleanup' EXIT
wait_for_peer() { # wait_for_peer URL
  until curl -sf -o /dev/null "$1"; do kill -0 "$peer" || { cat "$dir/peer.log"; exit 1; }; sleep 0.1; done
}
start_prometheus() {
  port=$((9091 + offset))
  echo "global: {}" >"$dir/prometheus.yml"
  $serve_on prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/prometheus" --storage.tsdb.retention.time=100y \
    --web.listen-address=127.0.0.1:$port --web.enable-remote-write-receiver --web.enable-admin-api >"$dir/peer.log" 2>&1 &
  peer=$!
  wait_for_peer "http://127.0.0.1:$port/-/ready"
}
start_victoria() {
  port=$((9092 + offset))
  $serve_on victoria-metrics -storageDataPath="$dir/victoria" -httpListenAddr=127.0.0.1:$port -retentionPeriod=100y >"$dir/peer.log" 2>&1 &
  peer=$!
  wait_for_peer "http://127.0.0.1:$port/health"
}
merge_victoria() { # all that it has, into as few parts as it makes
  curl -sf -o /dev/null "http://127.0.0.1:$port/internal/force_flush"
  curl -sf -o /dev/null "http://127.0.0.1:$port/internal/force_merge"
  while [ "$(curl -sf "http://127.0.0.1:$port/metrics" | awk '/^vm_active_force_merges/ { print $2 }')" != 0 ]; do sleep 0.5; done
}
cpu_ms_of() { awk -v hz="$(getconf CLK_TCK)" '{ printf "%d", ($14 + $15) * 1000 / hz }' "/proc/$1/stat"; }
rss_kb_of() { awk '/VmRSS/ { print $2 }' "/proc/$1/status"; }
