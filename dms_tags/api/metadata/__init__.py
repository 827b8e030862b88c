"""The metadata API: definitions of labels, and their values on resources."""
