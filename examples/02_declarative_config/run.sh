#!/bin/sh
# Runs the application under opentelemetry-instrument; the file does the rest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export LEARNING_STORE="$folder/learning.duckdb"
OTEL_CONFIG_FILE="$here/otel.yaml" opentelemetry-instrument python "$here/app.py"
otel-learning query --db "$LEARNING_STORE" \
  "SELECT task_id, task_type, model_tier, success, environment FROM executions ORDER BY task_id"
