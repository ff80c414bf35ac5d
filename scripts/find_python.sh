#!/usr/bin/env bash
# Print the first Python >= 3.11 that can make virtual environments; PYTHON=/path/to/python overrides the search.
set -euo pipefail

usable() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
  usable "$PYTHON" || { echo "PYTHON=$PYTHON is not a Python >= 3.11 with venv." >&2; exit 1; }
  echo "$PYTHON"
  exit 0
fi
for candidate in python3.13 python3.12 python3.11 python3; do
  if command -v "$candidate" >/dev/null && usable "$candidate"; then
    echo "$candidate"
    exit 0
  fi
done
echo "Ingot needs Python >= 3.11 with the venv module; none of python3.13, python3.12, python3.11, python3 is one." >&2
echo "Install one (on Debian or Ubuntu: apt install python3-venv) or name it: make PYTHON=/path/to/python demo" >&2
exit 1
