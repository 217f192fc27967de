"""An exchange on loopback: both Coinbase dialects, a recorded or a synthetic market, faults."""
