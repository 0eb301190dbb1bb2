#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `make run`: two nodes on this machine, a question, the answer. A provider (which is also the
# bootstrap node) serves models/conduit-tiny.gguf; a consumer asks it through its own OpenAI address.
# Keeps running until Ctrl-C; ONCE=1 exits after the answer, 0 if it came from the other node.
set -uo pipefail
cd "$(dirname "$0")/.."
conduit=build/conduit
question=${QUESTION:-What is the capital of France?}
dir=$(mktemp -d "${TMPDIR:-/tmp}/conduit-run.XXXXXX")
pids=()

stop() { # every process this script started, by pid
    trap '' INT TERM
    for p in "${pids[@]}"; do kill -TERM "$p" 2>/dev/null; done
    for p in "${pids[@]}"; do wait "$p" 2>/dev/null; done
    rm -rf "$dir"
}
die() { echo "make run: $*" >&2; tail -n 20 "$dir"/*.log >&2 2>/dev/null; exit 1; }
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start NAME ARGS…: a node whose first line of output says that it is ready
start() {
    local name=$1; shift
    "$conduit" up --json --data-dir "$dir/$name" --threads 1 "$@" >"$dir/$name.out" 2>"$dir/$name.log" &
    pids+=($!)
    for _ in $(seq 600); do
        [ -s "$dir/$name.out" ] && return 0
        kill -0 "${pids[-1]}" 2>/dev/null || die "the $name did not start"
        sleep 0.05
    done
    die "the $name is not ready after 30 s"
}
field() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$dir/$1.out" | head -1; }

start provider --model models/conduit-tiny.gguf --p2p-host 127.0.0.1 --p2p-port 0 --http-port 0
address=$(field provider address)
provider=$(field provider peer)
port=8888
until port_is_free "$port"; do port=$((port + 1)); [ "$port" -lt 8988 ] || die "no free port from 8888 on"; done
start consumer --bootstrap "$address" --p2p-host 127.0.0.1 --p2p-port 0 --http-port "$port"
api=$(field consumer api)

echo "provider and bootstrap node  $address"
echo "consumer                     $api"
[ "$port" = 8888 ] || echo "  (port 8888 is taken, so the consumer listens on $port)"

seen=
for _ in $(seq 600); do
    if "$conduit" models --api "$api" 2>/dev/null | grep -q '^conduit-tiny'; then seen=1; break; fi
    sleep 0.1
done
[ -n "$seen" ] || die "the consumer does not see the model after 60 s"

echo
echo "> $question"
"$conduit" ask --api "$api" --model conduit-tiny --show-peer "$question" 2>"$dir/asked" || { cat "$dir/asked" >&2; die "no answer"; }
cat "$dir/asked" >&2
grep -q "$provider" "$dir/asked" || die "the answer did not come from the provider"
[ -z "${ONCE:-}" ] || exit 0

cat <<TXT

Try next:
  build/conduit chat --data-dir $dir/consumer
  curl $api/chat/completions -d '{"model":"conduit-tiny","stream":true,"messages":[{"role":"user","content":"Hello!"}]}'
  build/conduit status --data-dir $dir/consumer

Both nodes run until Ctrl-C.
TXT
while kill -0 "${pids[0]}" 2>/dev/null && kill -0 "${pids[1]}" 2>/dev/null; do sleep 1; done
die "a node stopped by itself"
