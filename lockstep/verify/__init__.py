"""Whether a commit gives the same bits again, and whether dvc.lock is as DVC wrote it."""
