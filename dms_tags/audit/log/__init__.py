"""The signed log over the trail: tree, tiles, notes, checkpoints, keys, witnesses."""
