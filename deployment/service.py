"""How a client is kept running on a board: as a systemd user service where there is one, else by a supervisor of ours.

Both start the client again when it fails, and leave it alone when it left of its own accord (status 0) or was started
with settings that make no sense (status 2).
"""

from __future__ import annotations

__all__ = ["RUNNING", "START_SUPERVISED", "STOP_SUPERVISED", "SUPERVISOR", "UNIT_NAME", "unit_text"]

UNIT_NAME = "pocketfleet.service"


def unit_text(directory: str) -> str:
    """Return the systemd unit; ``directory`` is absolute, or starts from the home directory (``%h``)."""
    root = directory if directory.startswith("/") else f"%h/{directory}"
    return f"""[Unit]
Description=pocketfleet client
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh "{root}/current/run.sh"
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2
TimeoutStopSec=40
StandardOutput=append:{root}/logs/client.log
StandardError=append:{root}/logs/client.log

[Install]
WantedBy=default.target
"""


SUPERVISOR = r"""#!/bin/sh
# Keeps the client running where there is no systemd. Made by `pocketfleet fleet start`.
root=$1
log=$root/logs/client.log
child= stopping= wait_s=1
trap 'stopping=yes; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null' TERM INT HUP
mkdir -p "$root/run" "$root/logs"
echo $$ > "$root/run/pid.new" && mv -f "$root/run/pid.new" "$root/run/pid"
while [ -z "$stopping" ]; do
  if [ -f "$log" ] && [ "$(wc -c < "$log")" -gt 10000000 ]; then mv -f "$log" "$log.1"; fi
  started=$(date +%s)
  sh "$root/current/run.sh" >> "$log" 2>&1 < /dev/null &
  child=$!
  status=0
  wait "$child" || status=$?
  while kill -0 "$child" 2> /dev/null; do status=0; wait "$child" || status=$?; done  # a signal ends only the wait
  child=
  case $status in 0 | 2) break ;; esac
  [ -z "$stopping" ] || break
  [ $(($(date +%s) - started)) -lt 60 ] || wait_s=1
  echo "pocketfleet: the client ended with status $status; again in $wait_s s" >> "$log"
  sleep "$wait_s" &
  child=$!
  wait "$child" || true
  child=
  [ "$wait_s" -ge 60 ] || wait_s=$((wait_s * 2))
done
rm -f "$root/run/pid" "$root/run/release"
"""

RUNNING = r"""
pid=
[ ! -r "$root/run/pid" ] || read -r pid < "$root/run/pid"
if [ -n "$pid" ] && ! tr '\000' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -q "supervise.sh"; then pid=; fi
"""
"""Shell text: sets ``pid`` to the supervisor's, or to nothing; a number that another process has by now is not ours."""

START_SUPERVISED = (
    'root=$(cd "$1" && pwd -P)'
    + RUNNING
    + r"""
[ -z "$pid" ] || exit 0
rm -f "$root/run/pid"  # of a board that was switched off
mkdir -p "$root/run" "$root/logs"
readlink "$root/current" > "$root/run/release"
if command -v setsid > /dev/null; then set -- setsid; else set -- nohup; fi
"$@" sh "$root/current/supervise.sh" "$root" > /dev/null 2>&1 < /dev/null &
for try in 1 2 3 4 5 6 7 8 9 10; do
  sleep 0.1 2> /dev/null || sleep 1
  [ ! -r "$root/run/pid" ] || exit 0
done
echo "the supervisor did not start" >&2
exit 1
"""
)

STOP_SUPERVISED = (
    "root=$1"
    + RUNNING
    + r"""
[ -n "$pid" ] || exit 0
kill -TERM "$pid" 2> /dev/null || true  # it may have ended just now
left=$2
while [ "$left" -gt 0 ] && kill -0 "$pid" 2> /dev/null; do sleep 0.2 2> /dev/null || sleep 1; left=$((left - 1)); done
if kill -0 "$pid" 2> /dev/null; then kill -KILL "-$pid" 2> /dev/null || kill -KILL "$pid"; fi
rm -f "$root/run/pid" "$root/run/release"
"""
)
