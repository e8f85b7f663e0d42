# For sourcing: a seeded Headcount server on a free loopback port, at $HEADCOUNT_URL, until the script ends.
# HEADCOUNT_BIN and SEED_BIN name the binaries; the default is the binaries of `cargo build`.

clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${HEADCOUNT_BIN:=$clients/../target/debug/headcount}" "${SEED_BIN:=$clients/../target/debug/seed}"
scratch=$(mktemp -d)
server=

stop_server() {
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
    rm -rf "$scratch"
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Starts the server, and returns when it answers.
start_server() {
    export DATABASE_URL="sqlite://$scratch/headcount.db?mode=rwc"
    "$SEED_BIN" >"$scratch/seed.log" || { cat "$scratch/seed.log" >&2; return 1; }
    # The system picks a free port, and the server's log names it.
    LISTEN=127.0.0.1:0 RUST_LOG=info "$HEADCOUNT_BIN" >"$scratch/server.log" 2>&1 &
    server=$!
    local deadline=$((SECONDS + 60)) address=
    while :; do
        [[ -n $address ]] || address=$(grep -os 'http://127\.0\.0\.1:[0-9]*' "$scratch/server.log" | head -n 1) || true
        if [[ -n $address ]] && curl -fs --max-time 5 -o "$scratch/healthz" "$address/healthz"; then break; fi
        if ! kill -0 "$server" 2>/dev/null || ((SECONDS >= deadline)); then
            echo 'the server does not answer:' >&2
            cat "$scratch/server.log" >&2
            return 1
        fi
        # Waits 50 ms before the next attempt.
        read -rt 0.05 <> <(:) || true
    done
    export HEADCOUNT_URL=$address
}
