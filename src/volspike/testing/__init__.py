"""Published fakes for tests of volspike and of what is built on it: a clock, a source, crash points."""
