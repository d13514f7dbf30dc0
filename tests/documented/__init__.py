"""The commands of the documentation: what the pages say, and which test runs it."""
