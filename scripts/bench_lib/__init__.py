"""What `scripts/bench` runs: this service and its peers on one real mongod, under the same load, in turn."""
