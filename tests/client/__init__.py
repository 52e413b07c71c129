"""The reference device against a real server, over real HTTP and WebSocket."""
