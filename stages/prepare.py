"""prepare: your files -> clean rows without duplicates, split so that nothing held out was learnt.

Reads what data.path, data.files and data.corrections name; writes data/prepared/{train,validation,test}.jsonl,
rejects.jsonl (every row left out, with file, line and reason), leakage.json (what the splits share, counted from their
files) and metrics/prepare.json.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

from lockstep.core.entry_point import describe, run_stage


def main() -> None:
    """Run the stage. Raises LockstepError for what the user can put right."""
    describe("prepare", __doc__)
    from lockstep.artifacts.records import write_records
    from lockstep.core.atomic_files import whole_folder, write_json, write_json_lines
    from lockstep.core.checksums import write_manifest
    from lockstep.core.console import say
    from lockstep.core.paths import LEAKAGE, PREPARE_METRICS, PREPARED, REJECTS, SPLITS, prepared_split
    from lockstep.core.provenance import write_provenance
    from lockstep.core.settings import load_params
    from lockstep.core.tracking import track
    from lockstep.data.assignment import assign_rows
    from lockstep.data.boilerplate import leave_out_known
    from lockstep.data.cleaned_rows import spool_rows
    from lockstep.data.leakage import leakage
    from lockstep.data.prepare_outputs import prepare_metrics, rejected, split_records, summary
    from lockstep.data.readers import Noted, read_rows
    from lockstep.data.sources import sources_of

    params = load_params()
    sources, kind = sources_of(params.data)
    names = [source.name for source in sources]
    noted = Noted()
    with whole_folder(PREPARED) as folder:
        raw = read_rows(sources, kind, params.data, noted)
        spool = spool_rows(raw, folder / "spool.jsonl", names, kind, params.data.html)
        rows = assign_rows(spool, kind, params.split, params.seed)
        paths = {split: folder / prepared_split(split).name for split in SPLITS}
        written = {split: write_records(paths[split], split_records(spool, rows, kind, split)) for split in SPLITS}
        write_json_lines(folder / REJECTS.name, rejected(spool, rows))
        spool.path.unlink()
        if kind == "qa":
            leaks = leakage(paths, kind, params.split.near_duplicate_threshold)
        else:
            texts = leave_out_known(paths)
            written, leaks, noted.left_aside["known_paragraphs"] = texts.texts, texts.leakage, texts.left_out
        write_json(folder / LEAKAGE.name, leaks)
        metrics = prepare_metrics(spool, rows, kind, noted, written, leaks)
        write_manifest(folder)
    write_json(PREPARE_METRICS, metrics)
    write_provenance("prepare", {source.name: source.path for source in sources})
    track("prepare", params, metrics)
    for line in summary(metrics):
        say("prepare", line)


if __name__ == "__main__":
    run_stage("prepare", main)
