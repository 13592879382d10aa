"""Programs that measure Lockstep and make what it ships; no stage needs them."""
