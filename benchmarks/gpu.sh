#!/bin/sh
# All figures of one GPU in one call: a step of the 124M and 355M shapes, on questions and on full rows, with and without
# deterministic algorithms; the recipes side by side; generation is in benchmarks/generation.py.
#
#   benchmarks/gpu.sh OUT          about 15 minutes on one big GPU; JSON and logs under OUT
#   benchmarks/gpu.sh OUT toy      the same at toy size on any machine, to see that it works
set -eu
OUT=$1
mkdir -p "$OUT"
if [ "${2:-}" = toy ]; then
  python -m benchmarks.training_step "$OUT/step.json" --shapes toy --rows questions texts --steps 2 --tokens 512
  python -m benchmarks.training_step "$OUT/step-deterministic.json" --shapes toy --rows questions --steps 2 --tokens 512 \
    --deterministic
  python -m benchmarks.side_by_side "$OUT/side-by-side.json" --shape toy --rows 16 --rounds 1 --recipes usual lockstep
  python -m benchmarks.profile_step "$OUT/profile" --shape toy --tokens 512 >"$OUT/profile.txt"
  exit
fi
RECIPES="usual lockstep"
if python -c "import trl" 2>/dev/null; then RECIPES="usual trl lockstep"; fi
nvidia-smi >"$OUT/nvidia-smi.txt"
python -m benchmarks.training_step "$OUT/step.json" --shapes 124M 355M --rows questions texts --tokens 32768
python -m benchmarks.training_step "$OUT/step-deterministic.json" --shapes 124M --rows questions texts --tokens 32768 \
  --deterministic
for shape in 124M 355M; do
  # shellcheck disable=SC2086  # a list
  python -m benchmarks.side_by_side "$OUT/$shape.json" --shape $shape --device cuda --rows 512 --recipes $RECIPES
  python -m benchmarks.profile_step "$OUT/profile-$shape" --shape $shape --tokens 32768 >"$OUT/profile-$shape.txt"
done
