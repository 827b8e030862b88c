"""What the wire promises, held on mongomock and on a real MongoDB alike."""
