"""prepare: your files -> clean rows without duplicates, split so that nothing held out was learnt.

Reads the files of data.path and data.files, and data/raw/corrections.jsonl where data.corrections is true. Writes
data/prepared/{train,validation,test}.jsonl, reworded.jsonl (for questions: wordings of train rows that are not
trained), rejects.jsonl (every row left out, with file, line and reason), leakage.json (what the splits share, counted
from their files) and metrics/prepare.json.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

from lockstep.core.entry_point import parse_no_arguments, run_stage


def main() -> None:
    """Run the stage. Raises LockstepError for a problem that the user can fix."""
    parse_no_arguments("prepare", __doc__)
    from lockstep.core.atomic_files import whole_folder, write_json, write_json_lines
    from lockstep.core.checksums import write_manifest
    from lockstep.core.console import say
    from lockstep.core.paths import LEAKAGE, PREPARE_METRICS, PREPARED, REJECTS, REWORDED, SPLITS, prepared_split
    from lockstep.core.provenance import stage_provenance, write_provenance
    from lockstep.core.settings import load_params
    from lockstep.core.tracking import track
    from lockstep.data.boilerplate import drop_repeated_paragraphs
    from lockstep.data.cleaned_rows import write_cleaned_rows
    from lockstep.data.leakage import leakage
    from lockstep.data.prepare_outputs import prepare_metrics, reject_records, summary_lines, write_splits
    from lockstep.data.readers import ReadCounts, read_rows
    from lockstep.data.sources import sources_of
    from lockstep.data.splitting import assign_splits

    params = load_params()
    sources, kind = sources_of(params.data)
    counts = ReadCounts()
    with whole_folder(PREPARED) as folder:
        rows = read_rows(sources, kind, params.data, counts)
        source_names = [source.name for source in sources]
        cleaned = write_cleaned_rows(rows, folder / "cleaned.jsonl", source_names, kind, params.data.html)
        assignment = assign_splits(cleaned, kind, params.split, params.seed)
        names = ("train", REWORDED, "validation", "test") if kind == "qa" else SPLITS
        files = {name: folder / prepared_split(name).name for name in names}
        paths = {split: files[split] for split in SPLITS}
        sizes = write_splits(files, cleaned, assignment, kind)
        write_json_lines(folder / REJECTS.name, reject_records(cleaned, assignment))
        cleaned.path.unlink()
        if kind == "qa":
            # Between the splits only: the reworded questions share clusters and answers with train by design.
            leaks = leakage(paths, kind, params.split.near_duplicate_threshold)
        else:
            result = drop_repeated_paragraphs(paths)
            sizes, leaks = result.text_counts, result.leakage
            counts.left_aside["known_paragraphs"] = result.dropped_paragraphs
        write_json(folder / LEAKAGE.name, leaks)
        metrics = prepare_metrics(cleaned, assignment, kind, counts, sizes, leaks)
        write_manifest(folder)
    write_json(PREPARE_METRICS, metrics)
    write_provenance("prepare", stage_provenance("prepare", {source.name: source.path for source in sources}))
    track("prepare", params, metrics)
    for line in summary_lines(metrics):
        say("prepare", line)


if __name__ == "__main__":
    run_stage("prepare", main)
