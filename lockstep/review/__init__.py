"""Runs shown to people: report, comparison of commits, gates, presets."""
