#!/bin/sh
# All figures of one GPU in one call: the recipes side by side, a step of the 124M and 355M shapes on questions and on
# full rows, with and without deterministic algorithms, and generation. What fails is named in OUT/failed.txt, and the
# rest goes on.
#
#   benchmarks/gpu.sh OUT          about 15 minutes on one big GPU; JSON and logs under OUT
#   benchmarks/gpu.sh OUT toy      the same at toy size on any machine, to see that it works
#
# PYTHON names another interpreter than `python`.
set -u
OUT=$1
PYTHON=${PYTHON:-python}
mkdir -p "$OUT"

measure() {
  timeout 300 "$PYTHON" -m "benchmarks.$@" || echo "exit code $?: $*" >>"$OUT/failed.txt"
}

RECIPES="usual lockstep"
if "$PYTHON" -c "import trl" 2>/dev/null; then RECIPES="usual trl lockstep"; fi
if [ "${2:-}" = toy ]; then
  SHAPES=toy DEVICE=cpu TOKENS=512 BATCH=8 ROWS=16 STEPS=4 GENERATION="--models models/tiny --questions 8 --tokens 8"
else
  SHAPES="124M 355M" DEVICE=cuda TOKENS=16384 BATCH=32 ROWS=640 STEPS=12 GENERATION="--models models/tiny 82M"
  nvidia-smi >"$OUT/nvidia-smi.txt" || true
fi
# shellcheck disable=SC2086  # lists
for shape in $SHAPES; do
  measure side_by_side "$OUT/$shape.json" --shape "$shape" --device $DEVICE --batch $BATCH --rows $ROWS --recipes $RECIPES
  measure training_step "$OUT/step-$shape.json" --shapes "$shape" --rows texts questions --tokens $TOKENS --steps $STEPS
  measure training_step "$OUT/step-$shape-deterministic.json" --shapes "$shape" --rows texts questions --tokens $TOKENS \
    --steps $STEPS --deterministic
  measure profile_step "$OUT/profile-$shape" --shape "$shape" --tokens $TOKENS >"$OUT/profile-$shape.txt"
done
# shellcheck disable=SC2086  # a list
measure generation "$OUT/generation.json" $GENERATION
[ ! -e "$OUT/failed.txt" ] || { cat "$OUT/failed.txt" >&2; exit 1; }
