"""tokenize: prepared records -> token ids and where their targets begin, cached as Arrow.

Reads data/prepared; writes data/tokenized/{train,validation,test}, the tokenizer and the prompt, and
metrics/tokenize.json.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

from lockstep.core.entry_point import parse_no_arguments, run_stage


def main() -> None:
    """Run the stage. Raises LockstepError for a problem that the user can fix."""
    parse_no_arguments("tokenize", __doc__)
    from dataclasses import replace

    from lockstep.artifacts.lookup import training_lookup, write_lookup
    from lockstep.artifacts.prompt import write_prompt
    from lockstep.artifacts.row_store import write_rows
    from lockstep.core.atomic_files import whole_folder, write_json, write_json_lines
    from lockstep.core.checksums import check_manifest, write_manifest
    from lockstep.core.console import say
    from lockstep.core.paths import PREPARED, SPLITS, TOKENIZE_METRICS, TOKENIZED, prepared_split
    from lockstep.core.provenance import stage_provenance, write_provenance
    from lockstep.core.settings import load_params
    from lockstep.core.tracking import track
    from lockstep.pretrained.tokenizer import encoder_of, save_tokenizer
    from lockstep.prompting.chat_template import prompt_of
    from lockstep.prompting.prompt_encoder import PromptEncoder
    from lockstep.tokenization.base_tokenizer import base_tokenizer, prepared_kind
    from lockstep.tokenization.row_workers import SplitTokenizer
    from lockstep.tokenization.tokenize_outputs import reject_records, summary_line, tokenize_metrics

    params = load_params()
    check_manifest(PREPARED, "prepare")
    tokenizer, vocabulary = base_tokenizer(params.model, params.tokenize)
    prompt = prompt_of(tokenizer, prepared_kind(), params.prompt.template, params.prompt.system)
    lookup = None
    if prompt.kind == "qa" and params.generation.lookup:
        lookup = training_lookup(prepared_split("train"), params.generation.lookup)
        prompt = replace(prompt, lookup=lookup.count)
    prompts = PromptEncoder(encoder_of(tokenizer), prompt)
    split_tokenizer = SplitTokenizer(prompts, params.prompt.loss_on, params.tokenize, lookup)
    with whole_folder(TOKENIZED) as folder:
        sizes = {split: write_rows(folder / split, blocks) for split, blocks in split_tokenizer.splits()}
        metrics = tokenize_metrics(prompt.kind, sizes, split_tokenizer.overlong_rows, vocabulary)
        save_tokenizer(tokenizer, folder / "tokenizer")
        write_prompt(folder, prompt)
        if lookup is not None:
            write_lookup(folder, lookup.pairs)
        write_json_lines(folder / "rejects.jsonl", reject_records(split_tokenizer.overlong_rows))
        write_manifest(folder)
    write_json(TOKENIZE_METRICS, metrics)
    splits = {path.as_posix(): path for path in map(prepared_split, SPLITS)}
    write_provenance("tokenize", stage_provenance("tokenize", splits))
    track("tokenize", params, metrics)
    say("tokenize", summary_line(metrics))


if __name__ == "__main__":
    run_stage("tokenize", main)
