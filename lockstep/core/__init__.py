"""What every stage and command needs: errors, settings, paths, files written whole, hashes, the console, the tracker."""
