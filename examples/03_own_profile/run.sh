#!/bin/sh
# Runs the application with the profile beside it and shows what was understood.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python "$here/app.py" "$folder/learning.duckdb" "$here/profile.toml"
otel-learning query --db "$folder/learning.duckdb" \
  "SELECT task_id, task_type, model_tier, repo, success, actual_cost, profile FROM executions"
