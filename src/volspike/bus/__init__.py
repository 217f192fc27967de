"""Topics: the embedded log, the small port that Kafka fits too, and the write-behind of the live process."""
