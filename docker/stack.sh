#!/usr/bin/env bash
# Builds and starts the compose stack, and runs the pipeline in it: `docker/stack.sh up|trigger|test|down`;
# `docker/stack.sh compose COMMAND` is any other command of compose's.
set -euo pipefail
cd "$(dirname "$0")"

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(--project-name marquee --env-file .env -f compose.yml)

# .env is made once; every empty secret of the example gets 256 random bits.
make_env() {
  [[ -e .env ]] && return
  umask 077
  while IFS= read -r line; do
    case $line in
      POSTGRES_PASSWORD= | AIRFLOW_PASSWORD= | LINK_SECRET=) echo "$line$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" ;;
      *) echo "$line" ;;
    esac
  done <.env.example >.env.draft
  mv .env.draft .env
}

up() {
  make_env
  "${compose[@]}" build init
  "${compose[@]}" up -d
  echo "Airflow http://localhost:8080 (admin, AIRFLOW_PASSWORD of docker/.env), homepage http://localhost:8000," \
    "mailbox http://localhost:8025, event collector http://localhost:8010"
}

# The pipeline, through the stack's own Airflow, its workers and its databases.
trigger() { "${compose[@]}" exec -T airflow-api-server marquee trigger; }

case ${1:-} in
  up) up ;;
  trigger) trigger ;;
  test) up && trigger && ../tests/docker/smoke.sh ;;
  down) make_env; "${compose[@]}" down "${@:2}" ;;
  compose) "${compose[@]}" "${@:2}" ;;
  *) echo "usage: docker/stack.sh up|trigger|test|down [--volumes]|compose COMMAND" >&2; exit 2 ;;
esac
