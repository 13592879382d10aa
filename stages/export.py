"""export: the fine-tuned model as a folder that stands by itself, and to the Hub when asked.

Reads models/finetuned and the metrics; writes models/export: weights, tokenizer with chat template, generation config,
prompt, model card, and a receipt with the hash of everything the model was made from.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

from lockstep.core.entry_point import parse_no_arguments, run_stage


def main() -> None:
    """Run the stage. Raises LockstepError for a problem that the user can fix."""
    parse_no_arguments("export", __doc__)
    from dataclasses import replace

    from lockstep.artifacts.lookup import LOOKUP_FILE, copy_lookup
    from lockstep.artifacts.prompt import read_prompt, write_prompt
    from lockstep.core.atomic_files import read_json, whole_folder, write_json, write_text
    from lockstep.core.checksums import check_manifest
    from lockstep.core.console import say
    from lockstep.core.paths import EVALUATE_METRICS, EXPORT, FINETUNED, RECEIPT, TRAIN_METRICS
    from lockstep.core.provenance import stage_provenance, write_provenance
    from lockstep.core.settings import load_params
    from lockstep.core.tracking import track
    from lockstep.export.model_card import model_card
    from lockstep.export.receipt import make_receipt, read_provenance
    from lockstep.modeling.model import export_dtype, generation_config, load_model, save_model
    from lockstep.pretrained.hub import check_push, push_folder
    from lockstep.pretrained.tokenizer import load_tokenizer, opening_ids

    params = load_params()
    if params.export.push_to_hub:
        check_push(params.export.hub_repo)
    check_manifest(FINETUNED, "train")
    prompt = replace(read_prompt(FINETUNED, "make train"), history_turns=params.generation.history_turns)
    tokenizer = load_tokenizer(FINETUNED, "models/finetuned")
    model = load_model(FINETUNED, "models/finetuned").to(export_dtype(params.export.dtype))
    if prompt.kind == "qa":
        opening = [] if prompt.special_tokens else opening_ids(tokenizer)  # a chat template names it itself
        tokenizer.chat_template = prompt.chat_template(tokenizer.eos_token, tokenizer.decode(opening))
    before = read_provenance()
    card = model_card(
        title=(params.export.hub_repo or "lockstep-model").rpartition("/")[2],
        base=before["train"]["base_origin"],
        data=params.data.path,
        prompt=prompt,
        evaluate=read_json(EVALUATE_METRICS, "make evaluate"),
        train=read_json(TRAIN_METRICS, "make train"),
    )
    pushing = ("export.push_to_hub", "export.hub_private", "export.push_lookup")  # these change no file
    provenance = stage_provenance("export", {}, without=pushing)
    with whole_folder(EXPORT) as folder:
        save_model(model, tokenizer, folder, generation_config(params.generation, tokenizer))
        write_prompt(folder, prompt)
        copy_lookup(FINETUNED, folder)
        write_text(folder / "README.md", card)
        write_json(folder / RECEIPT.name, make_receipt(folder, {**before, "export": provenance}))
    write_provenance("export", provenance)
    where = str(EXPORT)
    if params.export.push_to_hub:
        left_out = [] if params.export.push_lookup else [LOOKUP_FILE]
        where = push_folder(EXPORT, str(params.export.hub_repo), params.export.hub_private, left_out)
    track("export", params, {}, artifacts=[EXPORT / "README.md"])
    say("export", f"{where}: talk to it with `make chat`")


if __name__ == "__main__":
    run_stage("export", main)
