"""What people judge runs by: the report, commits compared, gates; and the presets they start from."""
