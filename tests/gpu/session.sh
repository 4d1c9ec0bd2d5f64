#!/usr/bin/env bash
# One session on a machine with a GPU: tests, checks and measurements, in less than 9 minutes. See README.md.
#   tests/gpu/session.sh [FOLDER]             on the GPU; figures go to FOLDER/session.json, by default $OUT or build/gpu
#   tests/gpu/session.sh --device cpu FOLDER  the same code on the CPU, to see that it runs
#   tests/gpu/session.sh --prepare            beforehand, where torch is: exports what is measured, into .gpu/exports
set -u
ulimit -c 0 # a crash need not write the memory of a GPU's driver to the disk
cd "$(dirname "$0")/../.." || exit 2
python=${PYTHON:-python3}
case " $* " in
*" --prepare "*) exec "$python" -m tests.gpu.exports ;;
*" --device cpu "*) ;;
*)
  if [ -e .gpu/unpack ]; then
    export GPU_UNPACK_LOG=$(mktemp)
    shim=$(mktemp -d)
    if ! command -v xz >/dev/null; then # tar calls it
      printf '#!/bin/sh\nexec "%s" -c "import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer)"\n' \
        "$(command -v "$python")" >"$shim/xz"
      chmod +x "$shim/xz"
      PATH=$PATH:$shim
    fi
    # first in a shell of its own, which may be killed; then here, for what it exports
    if timeout 120 bash -c '. .gpu/unpack' >"$GPU_UNPACK_LOG" 2>&1; then
      set +u
      . .gpu/unpack >/dev/null 2>&1 </dev/null
      set -u
    else
      echo "unpacking .gpu failed:" && tail -n 20 "$GPU_UNPACK_LOG"
    fi
  fi
  ;;
esac
export PYTHONUNBUFFERED=1
left=$((525 - SECONDS))
timeout -k 5 "$left" "$python" -m tests.gpu.session --seconds $((left - 15)) "$@"
