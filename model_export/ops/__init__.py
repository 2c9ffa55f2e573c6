"""Forward and backward passes that are made of TFLite builtin ops only."""
