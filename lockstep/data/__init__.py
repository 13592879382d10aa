"""From the user's files to cleaned, clustered splits."""
