#!/usr/bin/env bash
# What tests of the page and of LaTeX need, from Debian's archive (as root). Without them those tests are skipped.
set -euo pipefail

if command -v chromium >/dev/null && command -v pdflatex >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Chromium and LaTeX are not installed (needs root and apt-get): their tests will be skipped" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null 2>&1 || true
apt-get install -y -qq --no-install-recommends chromium texlive-latex-recommended >/dev/null 2>&1 ||
    echo "Chromium and LaTeX cannot be installed: their tests will be skipped" >&2
