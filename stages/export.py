"""export: the fine-tuned model as a folder that stands by itself, and to the Hub when asked.

Reads models/finetuned and the metrics; writes models/export: weights, tokenizer with chat template, generation config,
prompt, model card, and a receipt with the hash of everything the model was made from.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m stages.export` from the project's root.\n")
    sys.exit(2)

from typing import TYPE_CHECKING, Any

from lockstep.core.entry_point import describe, run_stage

if TYPE_CHECKING:
    from lockstep.core.settings import Params


def main() -> None:
    """Run the stage. Raises LockstepError for what the user can put right."""
    describe("export", __doc__)
    from dataclasses import replace

    from lockstep.export.model_card import model_card
    from lockstep.core.console import say
    from lockstep.core.atomic_files import read_json, whole_folder, write_json, write_text
    from lockstep.pretrained.hub import check_push, push_folder
    from lockstep.data.sources import sources_of
    from lockstep.modeling.model import export_dtype, generation_config, load_model, save_model
    from lockstep.core.settings import load_params
    from lockstep.core.paths import EVALUATE_METRICS, EXPORT, FINETUNED, PROVENANCE, RECEIPT, TRAIN_METRICS
    from lockstep.artifacts.prompt import read_prompt, write_prompt
    from lockstep.export.receipt import make_receipt
    from lockstep.core.checksums import check_seal
    from lockstep.pretrained.tokenizer import load_tokenizer, opening_ids
    from lockstep.core.tracking import track

    params = load_params()
    if params.export.push_to_hub:
        check_push(params.export.hub_repo)
    check_seal(FINETUNED, "train")
    prompt = replace(read_prompt(FINETUNED, "make train"), history_turns=params.generation.history_turns)
    tokenizer = load_tokenizer(FINETUNED, "models/finetuned")
    model = load_model(FINETUNED, "models/finetuned").to(export_dtype(params.export.weights))
    if prompt.kind == "qa":
        tokenizer.chat_template = prompt.chat_template(tokenizer.eos_token, tokenizer.decode(opening_ids(tokenizer)))
    card = model_card(
        title=(params.export.hub_repo or "lockstep-model").rpartition("/")[2],
        base=params.model.base,
        data=params.data.path,
        prompt=prompt,
        evaluate=read_json(EVALUATE_METRICS, "make evaluate"),
        train=read_json(TRAIN_METRICS, "make train"),
    )
    data = {source.name: source.path for source in sources_of(params.data)[0]}
    provenance = read_json(PROVENANCE, "make train")
    with whole_folder(EXPORT) as folder:
        save_model(model, tokenizer, folder, generation_config(params.generation, tokenizer))
        write_prompt(folder, prompt)
        write_text(folder / "README.md", card)
        write_json(folder / RECEIPT.name, make_receipt(folder, data, decided(params), provenance))
    where = str(EXPORT)
    if params.export.push_to_hub:
        where = push_folder(EXPORT, str(params.export.hub_repo), params.export.hub_private)
    track("export", params, {}, artifacts=[EXPORT / "README.md"])
    say("export", f"{where}: talk to it with `make chat`")


def decided(params: "Params") -> dict[str, Any]:
    """The settings that the receipt names: all that decide what is exported."""
    return {
        "seed": params.seed,
        "data": params.data,
        "split": params.split,
        "prompt": params.prompt,
        "tokenize": params.tokenize,
        "model": params.model,
        "device": params.device,
        "train": params.train,
        "evaluate": params.evaluate,
        "generation": params.generation,
        "export.weights": params.export.weights,
        "export.hub_repo": params.export.hub_repo,
    }


if __name__ == "__main__":
    run_stage("export", main)
