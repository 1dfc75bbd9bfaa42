"""Where messages come in: thin shells around one plain function, and the client that sends."""
