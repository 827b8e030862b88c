"""What operators and people who look around need: health, metrics, the API's description, the meaning of problems."""
