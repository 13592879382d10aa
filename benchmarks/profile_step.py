"""Where the time of a training step goes: a trace for chrome://tracing or Perfetto, and the twenty dearest operations.

python -m benchmarks.profile_step FOLDER [--shape base] [--tokens 2048]
"""

import argparse
from pathlib import Path

WARM_UP, MEASURED = 3, 3  # steps


def main() -> None:
    """Profile a few steps; write FOLDER/trace.json.gz and FOLDER/top.txt, and print the latter."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_step", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", default="base")
    parser.add_argument("--tokens", type=int, default=2048)
    options = parser.parse_args()
    import torch
    from torch.profiler import profile

    from benchmarks.training_step import SHAPES, make_model, our_loss, question_rows, synchronize
    from lockstep.core.settings import load_params
    from lockstep.modeling.device import set_up
    from lockstep.modeling.model import set_dropout
    from lockstep.training.fast_layers import replace_layers
    from lockstep.training.step import choose_step

    hardware = set_up(load_params().device, 0)
    model = make_model(options.shape, hardware.device)
    rows = question_rows(options.tokens, SHAPES[options.shape][3], 0)
    step = choose_step(model, rows[0], hardware, packing=True)
    set_dropout(model, 0.1)
    replace_layers(model, hardware.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def train() -> None:
        with hardware.autocast():
            loss = our_loss(step, model, rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(WARM_UP):
        train()
    with profile() as profiler:
        for _ in range(MEASURED):
            train()
        synchronize(hardware.device)
    options.folder.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(options.folder / "trace.json.gz"))
    by = "self_device_time_total" if hardware.device == "cuda" else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=by, row_limit=20, max_name_column_width=44)
    (options.folder / "top.txt").write_text(table, encoding="utf-8")
    print(f"{options.shape}, {step}, {MEASURED} steps on {hardware}\n{table}")


if __name__ == "__main__":
    main()
