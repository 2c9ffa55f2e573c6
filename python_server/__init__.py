"""The Flower server: experiments, rounds, aggregation, strategies and what a run leaves behind."""
