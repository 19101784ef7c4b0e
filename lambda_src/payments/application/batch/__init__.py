"""Read, dispatch and report a file of payments."""
