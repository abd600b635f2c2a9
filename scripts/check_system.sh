#!/bin/sh
# Prints the missing system packages and the command that installs them. Usage: check_system.sh [PYTHON]
set -u

python=${1:-python3}
name=$(basename "$python")
missing=""
packages=""

missing_() {
    missing="$missing
  - $1"
    packages="$packages $2"
}

case "$name" in
python3*) venv="$name-venv" ;;
*) venv="python3-venv" ;;
esac

if ! "$python" -c '' >/dev/null 2>&1; then
    missing_ "$python does not run" "${venv%-venv} $venv"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    missing_ "$("$python" --version) is too old, 3.11 or newer is needed: name it with make PYTHON=python3.11" \
        "python3.11 python3.11-venv"
else
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        missing_ "$python cannot make virtual environments" "$venv"
    [ "$(uname)" != Linux ] || "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' >/dev/null 2>&1 ||
        missing_ "libgomp.so.1 cannot be loaded; LightGBM needs it" "libgomp1"
fi
[ -z "$missing" ] && exit 0
sudo="sudo "
[ "$(id -u)" = 0 ] && sudo=""
{
    echo "Missing on this system:$missing"
    if command -v apt-get >/dev/null 2>&1; then
        echo "This command installs it:"
        echo "  ${sudo}apt-get update && ${sudo}apt-get install -y$packages"
    else
        echo "Install what your system calls these Debian packages:$packages"
    fi
} >&2
exit 1
