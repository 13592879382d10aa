"""From the user's files to cleaned rows, clusters and splits."""
