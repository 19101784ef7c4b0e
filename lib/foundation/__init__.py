"""What every feature uses: encryption, storage, functions, logs, topics, secrets and identity."""
