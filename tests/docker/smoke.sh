#!/usr/bin/env bash
# After the pipeline ran in the compose stack: do its pages show what it did?
set -euo pipefail
cd "$(dirname "$0")"
# grep reads to the end (no -q): a pipe closed early is an error of curl's
fetch() { curl --silent --show-error --fail --max-time 20 "$@"; }

fetch http://127.0.0.1:8000/health >/dev/null
subscriber=$(fetch http://127.0.0.1:8000/v1/subscribers/sample | python3 -c \
  "import json, sys; print(json.load(sys.stdin)[0]['subscriber_id'])")
fetch "http://127.0.0.1:8000/v1/recommendations?subscriber_id=$subscriber&count=10" | python3 -c \
  "import json, sys; a = json.load(sys.stdin); assert len(a['items']) == 10, a; print(len(a['items']), 'tiles by', a['model_version'])"
fetch http://127.0.0.1:8025/ | grep re_engagement >/dev/null
fetch http://127.0.0.1:8000/dbt-docs/ | grep -i "<html" >/dev/null
fetch http://127.0.0.1:8000/reports/ | grep -i "fairness" >/dev/null
fetch http://127.0.0.1:8010/plan | grep "Video Playback Started" >/dev/null
python3 live_events.py
echo "the stack runs the pipeline"
