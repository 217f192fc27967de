"""The wire: decode both Coinbase dialects, connect, beat, reconnect."""
